// Package churn has the end-to-end tests with many containers at one engine, and of how long
// a user waits.
package churn

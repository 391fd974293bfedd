package main

import (
	"crypto/tls"
	"time"

	"github.com/sirupsen/logrus"

	"evio/overlay/member"
	"evio/overlay/signal"
	"evio/plugin/config"
)

// signallingSession is one account that is logged in, and its members.
type signallingSession struct {
	service config.Service
	client  *signal.Client
	members *member.Service
}

func newAccount(s config.Settings, service config.Service, book *member.Book, kept offers, names signal.Resolver, log *logrus.Entry) (signallingSession, error) {
	handler, err := book.Service(service.JID, service.Overlays)
	if err != nil {
		return signallingSession{}, err
	}
	c := signal.Config{
		Server: service.Server, DirectTLS: service.TLS == config.DirectTLS, JID: service.JID,
		Rooms: handler.Rooms(), Refresh: refreshEvery(time.Duration(s.MembershipMaxAge) * time.Second),
		SASL: mechanisms[service.SASL], Offers: kept, Resolver: names, Log: log,
	}
	if service.PasswordFile != "" {
		c.Password = func() (string, error) { return config.ReadPassword(s.HostPath(service.PasswordFile)) }
	}
	if service.CertificateFile != "" {
		c.Certificate = func() (*tls.Certificate, error) {
			return config.ReadKeyPair(s.HostPath(service.CertificateFile), s.HostPath(service.KeyFile))
		}
	}
	if service.CAFile != "" {
		if c.RootCAs, err = config.ReadCAs(s.HostPath(service.CAFile)); err != nil {
			return signallingSession{}, err
		}
	}
	client, err := signal.New(c, handler)
	if err != nil {
		return signallingSession{}, err
	}
	handler.Attach(client)
	return signallingSession{service: service, client: client, members: handler}, nil
}

// mechanisms are the values of the setting sasl.
var mechanisms = map[string]signal.SASL{config.SASLBest: signal.BestSASL, config.SASLScram: signal.ScramSASL, config.SASLAny: signal.AnySASL}

// refreshEvery is how often lists of members are asked for while an account is connected:
// twice before one that may have an age counts as ageing, which is at a quarter of it.
func refreshEvery(maxAge time.Duration) time.Duration {
	if maxAge == 0 {
		return time.Hour
	}
	return min(maxAge/8, time.Hour)
}

package main

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"evio/plugin/config"
)

// newLogger returns a logger that writes to w, one line per event. For a managed
// plugin w is standard output: the engine logs that at level info, and everything
// on standard error as an error, whatever its level.
func newLogger(w io.Writer, c config.Log) (*logrus.Entry, error) {
	level, err := logrus.ParseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	l := logrus.New()
	l.SetOutput(w)
	l.SetLevel(level)
	if c.Format == "json" {
		l.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	} else {
		// Without a terminal's colours; the engine's log adds the time.
		l.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: time.RFC3339Nano})
	}
	return logrus.NewEntry(l), nil
}

// report logs what the operator should know about the settings: each fault, or the
// one thing that is missing for more than this engine.
func report(log *logrus.Entry, s config.Settings, faults config.Faults) {
	for _, f := range faults {
		log.Error(f.Error())
	}
	switch {
	case len(faults) > 0:
	case s.Missing:
		log.Infof("no configuration file %s: networks are of this engine only; to reach other sites, name a signalling service there (docs/CONFIGURATION.md)", s.ConfigPath)
	case len(s.Signalling) == 0:
		log.Infof("no signalling service in %s: networks are of this engine only; to reach other sites, name one there (docs/CONFIGURATION.md)", s.ConfigPath)
	}
}

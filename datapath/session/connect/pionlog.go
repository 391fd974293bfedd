package connect

import (
	"github.com/pion/logging"
	"github.com/sirupsen/logrus"
)

// pionLog passes on what pion's packages warn of, as debug messages: the cause
// is always something that arrived. Their own debug messages hold passwords and
// are dropped.
type pionLog struct{ entry *logrus.Entry }

var (
	_ logging.LoggerFactory = pionLog{}
	_ logging.LeveledLogger = pionLog{}
)

// NewLogger implements logging.LoggerFactory.
func (l pionLog) NewLogger(scope string) logging.LeveledLogger {
	return pionLog{l.entry.WithField("scope", scope)}
}

func (pionLog) Trace(string)          {}
func (pionLog) Tracef(string, ...any) {}
func (pionLog) Debug(string)          {}
func (pionLog) Debugf(string, ...any) {}
func (pionLog) Info(string)           {}
func (pionLog) Infof(string, ...any)  {}

func (l pionLog) Warn(msg string)                   { l.entry.Debug(msg) }
func (l pionLog) Warnf(format string, args ...any)  { l.entry.Debugf(format, args...) }
func (l pionLog) Error(msg string)                  { l.entry.Debug(msg) }
func (l pionLog) Errorf(format string, args ...any) { l.entry.Debugf(format, args...) }

package driver

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// shadowed returns a sentence for each name under which Docker does not find this
// driver, because one of its managed plugins has it: asked for evio, Docker takes the
// plugin evio:latest, enabled or not, and then finds no network driver called evio.
func shadowed(names, plugins []string) []string {
	var all []string
	for _, name := range names {
		if !strings.Contains(name, ":") && slices.Contains(plugins, name+":latest") {
			all = append(all, fmt.Sprintf(
				"Docker has a plugin named %s:latest and so does not find this driver by -d %s: give the plugin another name, such as evionet (docker plugin install --alias evionet)",
				name, name))
		}
	}
	return all
}

// learnShadowed finds out which names do not work. While Docker does not
// answer, its last answer stands.
func (w *engineWatch) learnShadowed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	plugins, err := w.engine.Plugins(ctx)
	if err != nil {
		w.log.WithError(err).Debug("Docker's plugins are not known")
		return
	}
	now := shadowed(w.names, plugins)
	w.mu.Lock()
	before := w.shadowed
	w.shadowed = now
	w.mu.Unlock()
	for _, sentence := range now {
		if !slices.Contains(before, sentence) {
			w.log.Error(sentence)
		}
	}
}

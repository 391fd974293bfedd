package driver

import (
	"fmt"
	"strconv"
	"strings"

	docker "github.com/docker/go-plugins-helpers/network"
)

const (
	// ifPrefix is what Docker calls interfaces inside of containers: eth0, eth1, …
	ifPrefix = "eth"
	// maxIfPrefix leaves three digits of the 15 bytes that Linux allows.
	maxIfPrefix = 12
)

// takesNames is the first engine that gives an interface the very name that a remote
// driver answers with. Older ones take the prefix alone and number by themselves.
var takesNames = engineVersion{major: 29, minor: 8}

// JoinResponse is docker.JoinResponse with the name of the interface that engines take
// since 29.8 and that the package does not have.
type JoinResponse struct {
	docker.JoinResponse
	InterfaceName InterfaceName
}

// InterfaceName is what Docker is to call an interface inside of a container.
type InterfaceName struct {
	SrcName   string
	DstPrefix string
	DstName   string `json:",omitempty"`
}

// isContainerIfName reports whether an interface inside of a container can have the name.
// The kernel has directories named all and default beside those of the interfaces, and
// takes % for a place to put a number.
func isContainerIfName(name string) bool {
	return isInterfaceName(name) && !strings.Contains(name, "%") && name != "lo" && name != "all" && name != "default"
}

// parseIfName reads the name of an attachment's interface.
func parseIfName(value any, engine engineVersion) (string, error) {
	name, ok := value.(string)
	if !ok || !isContainerIfName(name) {
		return "", fmt.Errorf("option %s is %q: give a name of 1 to 15 letters, digits or dashes, such as lan0", optionIfName, clip(fmt.Sprint(value)))
	}
	if _, numbered := splitIfName(name); !numbered && engine.before(takesNames) {
		return "", fmt.Errorf("option %s is %q: Docker %s numbers the interfaces of a driver's networks itself, give a name such as lan0, or use Docker %s or newer",
			optionIfName, clip(name), engine.text, takesNames)
	}
	return name, nil
}

// parseIfPrefix reads what the interfaces of a network are called before their numbers.
func parseIfPrefix(text string) (string, error) {
	if !isContainerIfName(text) || len(text) > maxIfPrefix {
		return "", fmt.Errorf("option %s is %q: give a prefix of 1 to %d letters, digits or dashes, such as lan", optionIfPrefix, clip(text), maxIfPrefix)
	}
	return text, nil
}

// splitIfName returns a name without its number, and whether an engine that numbers by
// itself may come to that name.
func splitIfName(name string) (prefix string, numbered bool) {
	prefix = strings.TrimRight(name, "0123456789")
	if prefix == "" {
		return ifPrefix, false
	}
	number, err := strconv.Atoi(name[len(prefix):])
	return prefix, err == nil && strconv.Itoa(number) == name[len(prefix):]
}

// ifPrefix is what the interfaces of the network are called before their numbers.
func (r *networkRecord) ifPrefix() string {
	if r.IfPrefix != "" {
		return r.IfPrefix
	}
	return ifPrefix
}

// interfaceName returns what Docker is to call the interface of an endpoint.
func (r *endpointRecord) interfaceName(n *networkRecord) InterfaceName {
	name := InterfaceName{SrcName: r.ContainerIf, DstPrefix: n.ifPrefix(), DstName: r.IfName}
	if r.IfName != "" {
		name.DstPrefix, _ = splitIfName(r.IfName)
	}
	return name
}

// warnIfName logs if an engine that numbers by itself may come to another name than the one
// that was asked for. It numbers in an order of its own when a container starts, so only the
// first name of a prefix that the container has once is sure.
func (d *Driver) warnIfName(rec *endpointRecord) {
	engine := d.watch.engineVersion()
	if rec.IfName == "" || engine.major != 0 && !engine.before(takesNames) {
		return
	}
	prefix, _ := splitIfName(rec.IfName)
	if rec.IfName == prefix+"0" && d.table.sameIfPrefix(rec, prefix) == 0 {
		return
	}
	which := "Docker " + engine.text
	if engine.major == 0 {
		which = "an engine before Docker " + takesNames.String()
	}
	d.log.WithField("endpoint", short(rec.ID)).Warnf(
		"interface %s may get another number: %s numbers interfaces itself, so give each one of a container a prefix of its own and the number 0, such as lan0 and wan0", rec.IfName, which)
}

package resolver

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/miekg/dns"
)

// ask sends a question to the servers in their order, as often as the configuration
// says, until one gives an answer that counts: the records, or that the name is not
// there. An error is a *net.DNSError.
func (r *Resolver) ask(ctx context.Context, c configuration, name string, kind uint16) (*dns.Msg, error) {
	var failed *net.DNSError
	for range c.Attempts {
		for i, server := range c.Servers {
			if ctx.Err() != nil {
				break
			}
			patience := c.patience()
			if end, ok := ctx.Deadline(); ok { // a server that is silent leaves the others their share
				patience = min(patience, time.Until(end)/time.Duration(len(c.Servers)-i))
			}
			answer, err := exchange(ctx, server, patience, name, kind)
			if err != nil {
				continue // silence; what another server said counts more
			}
			switch answer.Rcode {
			case dns.RcodeSuccess:
				return answer, nil
			case dns.RcodeNameError:
				return nil, &net.DNSError{Err: noSuchName, Name: name, Server: server, IsNotFound: true}
			default:
				failed = &net.DNSError{
					Err:  "the DNS server answers " + rcode(answer.Rcode) + "; check that server",
					Name: name, Server: server, IsTemporary: true,
				}
			}
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, &net.DNSError{Err: noAnswer, Name: name, Server: c.servers(), IsTimeout: true, IsTemporary: true}
}

func rcode(n int) string {
	if s, ok := dns.RcodeToString[n]; ok {
		return s
	}
	return "an unknown error"
}

// exchange asks one server by UDP, and by TCP if the answer does not fit a datagram.
func exchange(ctx context.Context, server string, patience time.Duration, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, kind)
	answer, err := exchangeBy(ctx, "udp", server, patience, question)
	if err == nil && answer.Truncated {
		return exchangeBy(ctx, "tcp", server, patience, question)
	}
	return answer, err
}

var errOtherAnswer = errors.New("the answer does not match the question")

func exchangeBy(ctx context.Context, network, server string, patience time.Duration, question *dns.Msg) (*dns.Msg, error) {
	client := &dns.Client{Net: network, Timeout: patience}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // the answer is there, or an error says more
	wake := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer wake()
	answer, _, err := client.ExchangeWithConnContext(ctx, question, conn)
	switch {
	case err != nil:
		return nil, err
	case !answer.Response || len(answer.Question) != 1 || !sameQuestion(answer.Question[0], question.Question[0]):
		return nil, errOtherAnswer
	default:
		return answer, nil
	}
}

func sameQuestion(a, b dns.Question) bool {
	return sameName(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

func sameName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }

package config

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// maxClaims bounds the prefixes in [File.Claims], of all accounts together.
const maxClaims = 1024

// Reserved returns Claims with its prefixes read, by account in lower case. What is at
// fault is left out.
func (f File) Reserved() map[string][]netip.Prefix {
	all := map[string][]netip.Prefix{}
	for account, texts := range f.Claims {
		account = strings.ToLower(account)
		for _, text := range texts {
			if p, err := netip.ParsePrefix(text); err == nil {
				all[account] = append(all[account], p)
			}
		}
	}
	return all
}

func (f File) validateClaims(fs *Faults) {
	type claim struct {
		account string
		prefix  netip.Prefix
	}
	var all []claim
	accounts := map[string]string{}
	for _, account := range slices.Sorted(maps.Keys(f.Claims)) {
		at := key("claims", account)
		jid(fs, at, account)
		if same, twice := accounts[strings.ToLower(account)]; twice {
			fs.add(at, "this is the account %s again; write all its prefixes there", shown(same))
		}
		accounts[strings.ToLower(account)] = account
		if len(f.Claims[account]) == 0 {
			fs.add(at, "it has no prefix; give some, such as [\"10.33.1.0/24\"], or leave the account out")
		}
		for i, text := range f.Claims[account] {
			at := index(at, i)
			p, err := netip.ParsePrefix(text)
			switch {
			case err != nil:
				fs.add(at, "%s is no prefix; write it like 10.33.1.0/24, or 10.33.1.7/32 for one address", shown(text))
				continue
			case p.Addr().Is4In6():
				fs.add(at, "%s is an IPv4 address written as an IPv6 one; write it like 10.33.1.0/24", shown(text))
				continue
			case p != p.Masked():
				fs.add(at, "%s is an address within the prefix; write %s, or the address with /%d", shown(text), p.Masked(), p.Addr().BitLen())
				continue
			}
			for _, other := range all {
				if other.account != account && other.prefix.Overlaps(p) {
					fs.add(at, "%s has addresses in common with %s of %s; give each address to one account", p, other.prefix, other.account)
					break
				}
			}
			all = append(all, claim{account, p})
		}
	}
	if len(all) > maxClaims {
		fs.add("claims", "there are %d prefixes; keep %d at most, such as by giving larger ones", len(all), maxClaims)
	}
}

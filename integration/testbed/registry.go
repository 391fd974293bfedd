package testbed

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"
)

// RegistryAddress is the registry's host:port in every machine.
const RegistryAddress = registryName + ":5000"

const (
	registryName        = "registry.example"
	registryConfig      = "/etc/registry/config.yml"
	registryCertificate = "/etc/registry/server.crt"
	registryKey         = "/etc/registry/server.key"
)

// StartRegistry starts a registry for images and plugins (docker-registry), with a certificate of
// the lab's CA, and waits until it answers. It is empty at first.
func (i *Internet) StartRegistry(ctx context.Context) (*Process, error) {
	certificate, key, err := i.lab.ca.issue(registryName, gatewayAddr, gatewayAddr6)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000", tls: {certificate: %s, key: %s}}
`, registryCertificate, registryKey)
	if err := errors.Join(
		i.WriteFile(ctx, registryConfig, []byte(config), 0o600),
		i.WriteFile(ctx, registryCertificate, certificate, 0o600),
		i.WriteFile(ctx, registryKey, key, 0o600),
		i.WriteFile(ctx, "/etc/registry/ca.crt", i.CA(), 0o644),
	); err != nil {
		return nil, err
	}
	p, err := i.Start(ctx, "registry", "docker-registry", "serve", registryConfig)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p, p.await(ctx, func() error {
		_, err := i.Run(ctx, "curl", "-sS", "--fail", "--max-time", "2", "--cacert", "/etc/registry/ca.crt",
			"--resolve", RegistryAddress+":"+gatewayAddr, "https://"+RegistryAddress+"/v2/")
		return err
	})
}

// TrustRegistry has the site's engine accept the registry's certificate.
func (s *Site) TrustRegistry(ctx context.Context) error {
	return s.WriteFile(ctx, path.Join("/etc/docker/certs.d", RegistryAddress, "ca.crt"), s.lab.ca.pem, 0o644)
}

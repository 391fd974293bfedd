-- Configuration of the testbed's XMPP server.
run_as_root = true -- in a machine that has no other user
pidfile = "/run/prosody.pid"
log = { { levels = { min = "info" }, to = "console" } }
plugin_paths = { "/usr/local/lib/prosody/modules" }
admin_socket = "/run/prosody.sock"

modules_enabled = {
  "disco", "roster", "saslauth", "tls", "ping", "smacks", "carbons", "blocklist",
  "groups",      -- shared roster: the members of an overlay
  "groups_push", -- the testbed's own: a changed group reaches those who are connected
  "admin_shell",
}
modules_disabled = { "s2s", "offline" }

authentication = "internal_hashed"
password_hash = "SHA-256" -- SCRAM-SHA-256; the accounts' store allows one kind
c2s_require_encryption = true
allow_unencrypted_plain_auth = false
interfaces = { "198.51.100.2", "2001:db8:100::2" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = { 5223 }
certificates = "certs"
groups_file = "/etc/prosody/groups.txt"

VirtualHost "xmpp.example"

Component "rooms.xmpp.example" "muc"
  modules_enabled = { "rooms_file" } -- the testbed's own
  rooms_file = "/etc/prosody/rooms.txt"
  restrict_room_creation = "admin"

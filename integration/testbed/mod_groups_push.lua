-- Brings a changed group file to those who are connected, as servers with shared roster groups
-- do: mod_groups alone applies it at the next login. When this module is loaded again, after
-- mod_groups, every connected user's roster gets what mod_groups would give now, with a roster
-- push and the presence for each difference.

local rostermanager = require "core.rostermanager";
local modulemanager = require "core.modulemanager";
local st = require "util.stanza";

local host = module:get_host();
local users = prosody.hosts[host].sessions;

local function announce(from, to, available)
  local user = users[from];
  if not user then return; end
  for _, session in pairs(user.sessions) do
    if session.presence then
      local stanza;
      if available then
        stanza = st.clone(session.presence);
      else
        stanza = st.presence({ type = "unavailable" });
      end
      stanza.attr.from = session.full_jid;
      stanza.attr.to = to .. "@" .. host;
      module:send(stanza);
    end
  end
end

local function apply(name)
  local wanted = {};
  prosody.events.fire_event("roster-load", { username = name, host = host, roster = wanted });
  module:fire_event("roster-load", { username = name, host = host, roster = wanted });
  wanted[false] = nil;
  local roster = users[name].roster;
  local gone, new = {}, {};
  for jid, item in pairs(roster) do
    if jid and item.persist == false and not wanted[jid] then gone[#gone + 1] = jid; end
  end
  for jid in pairs(wanted) do
    if not roster[jid] then new[#new + 1] = jid; end
  end
  for _, jid in ipairs(gone) do
    roster[jid] = nil;
    rostermanager.roster_push(name, host, jid);
    announce(jid:match("^[^@]*"), name, false);
  end
  for _, jid in ipairs(new) do
    roster[jid] = wanted[jid];
    rostermanager.roster_push(name, host, jid);
    announce(jid:match("^[^@]*"), name, true);
  end
end

function module.load()
  if not modulemanager.is_loaded(host, "groups") then return; end
  for name in pairs(users) do apply(name); end
end

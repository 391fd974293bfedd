-- Makes rooms of a file like that of mod_groups: [NAME], then a member's JID on each line. When this
-- module is loaded again, members who are not in the file any more lose their place at once.

local path = module:get_option_string("rooms_file");
local muc = module:depends("muc");

local function read()
  local rooms, members = {}, nil;
  for line in io.lines(path) do
    local name = line:match("^%[(.+)%]$");
    if name then
      members = {};
      rooms[name .. "@" .. module.host] = members;
    elseif line ~= "" then
      members[line] = true;
    end
  end
  return rooms;
end

local function apply(jid, members)
  local room = muc.get_room_from_jid(jid) or muc.create_room(jid);
  room:set_persistent(true);
  room:set_members_only(true);
  room:set_whois("anyone"); -- everybody sees real JIDs
  local gone = {};
  for user, affiliation in room:each_affiliation() do
    if affiliation == "member" and not members[user] then gone[#gone + 1] = user; end
  end
  for _, user in ipairs(gone) do assert(room:set_affiliation(true, user, "none")); end
  for user in pairs(members) do assert(room:set_affiliation(true, user, "member")); end
  room:save(true);
end

function module.load()
  for jid, members in pairs(read()) do apply(jid, members); end
end

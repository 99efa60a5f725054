-- The first filter: finds which route configuration serves a request, and takes the credentials out of where callers put them.
-- It decides nothing: what it finds wrong it names in x-bartizan-refusal, and the filter of keys refuses. If it fails, there
-- is no scope, so there is no route, and the default deny refuses.
-- Nothing here may take more than linear time: what is matched, callers wrote.
-- TABLE: hosts = {host = {path = scope}}, suffixes = {[".example.com"] = {path = scope}}, any = {path = scope},
--        headers = {...}, cookies = {...}, certificates = {subject = ca} or false, consumers = {key = consumer}, devices = {sha256 = {device, state}},
--        bound = bool: tokens may be bound to certificates, dpop = bool: to keys of which proofs come, longest = bytes of a URL,
--        public = {scope = true}: some route there is for everyone, login = {scope = true}: people log in on some route there,
--        session = how the cookies of their sessions begin, or false if nobody logs in anywhere,
--        asks = {scope = true}: some route there takes tokens that are asked about,
--        opaque = {{beginning, issuer}, ...}: whose tokens these are, longest first, keyed = {issuer = true}: those with keys,
--        prefix = bytes of the longest path that is declared, spelled = {path in small letters = path as declared, or {path = true} of several},
--        capitals = bool: some declared path holds capitals, literal = {code = true}: other characters of declared paths
local T = --[[TABLE]]
-- What isn't garbage are the tables above. Looking through them again for each few kilobytes of it cost a quarter of this filter's time.
collectgarbage("setpause", 500)
local byte, sub, find, match, lower, gsub = string.byte, string.sub, string.find, string.match, string.lower, string.gsub
local SLASH = 47
local METHODS = {GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true, OPTIONS = true}

-- Characters that RFC 3986 says are the same whether encoded or not, those that parsers disagree about, and those that stand in
-- declared paths: `/orders/%40me` would reach what is declared for `/orders/@me` past its policies. C0 and C1 begin a longer form of ASCII.
local function is_confusing(path)
  if not find(path, "[^%w/._~-]") then return false end
  if find(path, "[^\33-\126]") or find(path, "[;\\]") then return true end
  local at = find(path, "%", 1, true)
  while at do
    local hex = match(path, "^%x%x", at + 1)
    if not hex then return true end
    local code = tonumber(hex, 16)
    local unreserved = (code >= 48 and code <= 57) or (code >= 65 and code <= 90) or (code >= 97 and code <= 122)
      or code == 45 or code == 46 or code == 95 or code == 126
    if unreserved or code < 32 or code == 127 or code == 47 or code == 59 or code == 92 then return true end
    if T.literal[code] or code == 192 or code == 193 then return true end
    if code == 37 and match(path, "^%x%x", at + 3) then return true end
    at = find(path, "%", at + 3, true)
  end
  return false
end

-- Where the path's parent ends, seen from `last`.
local function parent(path, last)
  while byte(path, last) ~= SLASH do last = last - 1 end
  return last - 1
end

-- Where the longest part of the path ends that could be declared.
local function reach(path)
  return #path > T.prefix and parent(path, T.prefix + 1) or #path
end

local function longest(paths, path)
  if not paths then return nil end
  local last = reach(path)
  while last > 1 do
    local scope = paths[sub(path, 1, last)]
    if scope then return scope end
    last = parent(path, last)
  end
  return paths["/"]
end

-- Whether it is a declared path but for its case: an upstream that knows no case would serve it past that path's policies.
local function is_miscased(path)
  local last = reach(path)
  local head = sub(path, 1, last)
  if not T.capitals and not find(head, "%u") then return false end
  local small = lower(head)
  while last > 1 do
    local spelling = T.spelled[sub(small, 1, last)]
    if spelling then
      local seen = sub(head, 1, last)
      if spelling ~= seen and not (type(spelling) == "table" and spelling[seen]) then return true end
    end
    last = parent(small, last)
  end
  return false
end

-- The host without its port and without the dot that may end it; nil if it isn't one, or several.
local function host_of(authority)
  local host = match(authority, "^([%w%.%-_]+):?%d*$")
  if host and find(host, "..", 1, true) then return nil end
  if host and byte(host, #host) == 46 then host = sub(host, 1, #host - 1) end
  if host == "" then return nil end
  host = host or match(authority, "^(%[[%x:%.]+%]):?%d*$")
  return host and lower(host)
end

-- Most requests bring one of a few authorities. Each is looked at once; callers can't make this grow without end.
local hosts, held = {}, 0
local function known_host(authority)
  if #authority > 261 then return false end
  local host = hosts[authority]
  if host == nil then
    host = host_of(authority) or false
    if held == 1000 then hosts, held = {}, 0 end
    hosts[authority], held = host, held + 1
  end
  return host
end

local function scope_of(host, path)
  local scope = longest(T.hosts[host], path)
  local dot = next(T.suffixes) and find(host, ".", 2, true)
  while dot and not scope do
    scope = longest(T.suffixes[sub(host, dot)], path)
    dot = find(host, ".", dot + 1, true)
  end
  return scope or longest(T.any, path)
end

-- Without the blanks at its end. A pattern would take quadratic time.
local function trimmed(text)
  local last = #text
  while last > 0 and byte(text, last) <= 32 do last = last - 1 end
  return sub(text, 1, last)
end

-- The values of a cookie, and the header without them.
local function cookie(text, name)
  local found, rest = {}, {}
  for pair in string.gmatch(text, "[^;]+") do
    local key, value = match(pair, "^%s*([^=%s]+)%s*=%s*(.*)$")
    if key == name then found[#found + 1] = trimmed(value) else rest[#rest + 1] = pair end
  end
  return found, gsub(table.concat(rest, ";"), "^%s+", "")
end

-- All cookies in one text; nil if there are none.
local function cookies_of(headers)
  local count = headers:getNumValues("cookie")
  if count == 0 then return nil end
  local all = {}
  for i = 0, count - 1 do all[#all + 1] = headers:getAtIndex("cookie", i) end
  return table.concat(all, "; ")
end

-- Takes the cookies of sessions out: they are for the login alone, and for no upstream.
local function strip_sessions(headers, all)
  local rest = {}
  for pair in string.gmatch(all, "[^;]+") do
    local bare = match(pair, "^%s*(.*)$")
    if sub(bare, 1, #T.session) ~= T.session then rest[#rest + 1] = bare end
  end
  headers:remove("cookie")
  if #rest > 0 then headers:add("cookie", table.concat(rest, "; ")) end
end

local function cookie_keys(headers, keys)
  for _, name in ipairs(T.cookies) do
    local all = cookies_of(headers)
    if all then
      local found, rest = cookie(all, name)
      if #found > 0 then
        for _, value in ipairs(found) do keys[#keys + 1] = value end
        headers:remove("cookie")
        if rest ~= "" then headers:add("cookie", rest) end
      end
    end
  end
end

local function certificate(handle)
  local tls = handle:streamInfo():downstreamSslConnection()
  if not tls or not tls:peerCertificatePresented() or not tls:peerCertificateValidated() then return nil end
  return tls
end

-- Says whom a client certificate means: the consumer that lists it, else its CA and the one name in it; with `listed` only the former.
-- Returns what is wrong with it.
local function means(tls, headers, listed)
  local issuer = T.certificates[tls:issuerPeerCertificate()]
  local print = tls:sha256PeerCertificateDigest()
  local sans = tls:uriSanPeerCertificate()
  if #sans == 0 then sans = tls:dnsSansPeerCertificate() end
  local bound = issuer and #sans == 1 and find(sans[1], "^[\33-\126]+$") and issuer .. "|" .. sans[1]
  local by_print = T.consumers["certificate:sha256=" .. print]
  local by_name = bound and T.consumers["certificate:" .. bound]
  headers:add("x-bartizan-fingerprint", print)
  if listed and not by_print and not by_name then return nil end
  if not issuer or not (bound or by_print) then return "malformed-credential" end
  if by_print and by_name and by_print ~= by_name then return "ambiguous-credential" end
  headers:add("x-bartizan-ca", issuer)
  if by_print or by_name then
    headers:replace("x-bartizan-key", "certificate:" .. (by_print and "sha256=" .. print or bound))
  else
    headers:add("x-bartizan-cert", bound)
  end
  return nil
end

-- Says with what device the request comes, whoever calls. Returns what is wrong with it, and whether there is one.
local function device(tls, headers)
  local known = T.devices[tls:sha256PeerCertificateDigest()]
  if not known then return nil, false end
  headers:add("x-bartizan-device", known[1])
  headers:add("x-bartizan-device-trusted", known[2] == "trusted" and "true" or "false")
  return known[2] == "lost" and "lost-device" or nil, true
end

-- Thirty-two bytes in hex as base64url without its padding.
local B64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
local function base64url(hex)
  local made = {}
  for at = 1, 61, 6 do
    local group = sub(hex .. "00", at, at + 5)
    local bits = tonumber(group, 16)
    for shift = 3, 0, -1 do
      local place = math.floor(bits / 64 ^ shift) % 64 + 1
      made[#made + 1] = sub(B64, place, place)
    end
  end
  return sub(table.concat(made), 1, 43)
end

-- The token of an authorization header, if it holds one bearer token. Its characters are left to the token filter, which refuses
-- what isn't base64url: a pattern over each of them here would cost more than all the rest.
local BEARER, DPOP = "^[Bb][Ee][Aa][Rr][Ee][Rr] +", "^[Dd][Pp][Oo][Pp] +"
local function token_of(authorization, scheme)
  local _, last = find(authorization, scheme)
  local token = last and sub(authorization, last + 1) or ""
  if token == "" or find(token, " ", 1, true) or find(token, ",", 1, true) then return nil end
  return token
end

-- Whether a token has the form of a signed one (RFC 7519): three parts, of which the first begins as JSON does in base64.
local function is_signed(token)
  local first = byte(token, 1) == 101 and find(token, ".", 1, true)
  local second = first and find(token, ".", first + 1, true)
  return second and not find(token, ".", second + 1, true)
end

-- The issuer that is to be asked about a token: of those with the longest beginning that fits the one of which the route takes tokens. A
-- signed token is left to the token filter, where the route takes tokens of an issuer with keys.
local function asked(token, accepts)
  if not accepts then return nil end
  if is_signed(token) then
    for issuer in pairs(accepts) do
      if T.keyed[issuer] then return nil end
    end
  end
  local fits
  for _, one in ipairs(T.opaque) do
    if fits and #one[1] < fits then return nil end
    if sub(token, 1, #one[1]) == one[1] then
      if accepts[one[2]] then return one[2] end
      fits = #one[1]
    end
  end
  return nil
end

-- Says in which of sixteen tables a key of another form would be, by its last six characters: keys begin alike, and few end so.
-- What has fewer than sixteen is in none.
local function shard(headers)
  local key = headers:get("x-bartizan-key")
  if not key or #key < 16 or find(key, "^bz_[a-z2-7]") then return end
  local sum, last = 0, #key
  for i = 0, 5 do sum = sum + (2 * i + 1) * byte(key, last - i) end
  headers:replace("x-bartizan-shard", tostring(sum % 16))
end

-- Looks at the credentials: an API key's header was copied to ours before we are asked, a token stays where it is. `get` tells several
-- values of a header joined by commas. Returns how many there are, what is wrong with them, and the token.
local function credentials(headers)
  local count, wrong, token = 0, nil, nil
  local authorization = headers:get("authorization")
  if authorization then
    count = 1
    token = token_of(authorization, BEARER)
    local bound = not token and T.dpop and token_of(authorization, DPOP)
    if bound then
      headers:add("x-bartizan-scheme", "dpop") -- so that its proof is asked for
      headers:replace("authorization", "Bearer " .. bound)
      token = bound
    elseif not token then wrong = "malformed-credential"
    elseif sub(authorization, 1, 7) ~= "Bearer " or #token + 7 ~= #authorization then headers:replace("authorization", "Bearer " .. token) end
  end
  for _, name in ipairs(T.headers) do
    local key = headers:get(name)
    if key then
      count = count + 1
      if find(key, ",", 1, true) then wrong = "ambiguous-credential" end
      -- What begins like the name of a certificate in the table of keys is no key of a caller's.
      if key == "" or sub(key, 1, 12) == "certificate:" then headers:replace("x-bartizan-key", "-") end
    end
  end
  if #T.cookies > 0 then
    local keys = {}
    cookie_keys(headers, keys)
    count = count + #keys
    if #keys > 0 then headers:replace("x-bartizan-key", (keys[1] == "" or sub(keys[1], 1, 12) == "certificate:") and "-" or keys[1]) end
  end
  return count, wrong, token
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local target = headers:get(":path") or ""
  if #target > T.longest then
    headers:replace("x-bartizan-refusal", "url-too-long")
    return
  end
  local query = find(target, "?", 1, true)
  local path = query and sub(target, 1, query - 1) or target
  if byte(path, 1) ~= SLASH or is_confusing(path) then
    headers:replace("x-bartizan-refusal", "malformed-path")
    return
  end
  local host = known_host(headers:get(":authority") or "")
  local method = headers:get(":method") or ""
  -- Methods know case, but many upstreams don't: a policy on POST would not be asked about `post`.
  if not host or not (METHODS[method] or find(method, "^[A-Z%-]+$")) then
    headers:replace("x-bartizan-refusal", "malformed-request")
    return
  end
  local scope = scope_of(host, path)
  if not scope or is_miscased(path) then
    headers:replace("x-bartizan-refusal", "no-api")
    return
  end
  local some_public, some_login = T.public[scope], T.login[scope]
  local whole = some_public and headers:get("authorization") -- as it was sent: what follows writes tokens in one way
  local count, wrong, token = credentials(headers)
  local tls = T.certificates and certificate(handle)
  headers:replace("x-bartizan-scope", scope) -- Envoy looks for the route anew when we are done
  local asks = token and T.asks[scope]
  if some_public or some_login or asks then handle:clearRouteCache() end
  local login = some_login and handle:metadata():get("login")
  if T.session and not login then
    local all = cookies_of(headers)
    if all and find(all, T.session, 1, true) then strip_sessions(headers, all) end
  end
  if count == 0 and not tls then return end
  if some_public and handle:metadata():get("public") then
    if whole and handle:metadata():get("forwards") then -- no filter sees it; the route puts it back
      handle:streamInfo():dynamicMetadata():set("bartizan.forwarded", "authorization", whole)
    end
    headers:remove("authorization")
    headers:remove("x-bartizan-key")
    headers:remove("x-bartizan-scheme")
    return
  end
  local issuer = asks and asked(token, handle:metadata():get("accepts"))
  if issuer then headers:add("x-bartizan-asks", issuer) end
  if tls then
    headers:replace("x-bartizan-refusal", "malformed-credential") -- until it is known to be good
    local lost, enrolled = device(tls, headers)
    if T.bound and count == 1 and headers:get("authorization") then
      headers:add("x-bartizan-x5t", base64url(tls:sha256PeerCertificateDigest())) -- what the token is bound to is known behind it
    elseif not enrolled or count == 0 then
      if count > 0 then wrong = wrong or "ambiguous-credential" end
      wrong = means(tls, headers, enrolled and login) or wrong -- where people log in, their device is none of them
    end
    wrong = lost or wrong
  end
  if count > 1 then wrong = "ambiguous-credential" end
  if count == 1 and not tls then shard(headers) end
  if wrong then
    headers:replace("x-bartizan-refusal", wrong)
  elseif tls then
    headers:remove("x-bartizan-refusal")
  end
end

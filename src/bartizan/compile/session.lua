-- Behind the login: what was a session is a token in `authorization` now. No upstream sees its cookies, nor what the login says of itself.
function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("x-envoy-oauth-status")
  headers:remove("x-envoy-oauth-failure-reason")
  local rest, found = {}, false
  for i = 0, headers:getNumValues("cookie") - 1 do
    for pair in string.gmatch(headers:getAtIndex("cookie", i), "[^;]+") do
      local bare = string.match(pair, "^%s*(.*)$")
      if string.find(bare, "^--[[PREFIX]]") then found = true else rest[#rest + 1] = bare end
    end
  end
  if not found then return end
  headers:remove("cookie")
  if #rest > 0 then headers:add("cookie", table.concat(rest, "; ")) end
end

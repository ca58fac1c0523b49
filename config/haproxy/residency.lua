-- Asks the gateway about a request before HAProxy forwards it: `http-request lua.residency_authorize ADDRESS`.
--
-- On a permit it sets what the store is to be told, and txn.residency_permitted. A denial it answers itself. Where it
-- fails it sets nothing, so the configuration has to deny behind it whatever is not permitted.

local TIMEOUT_MS = 10000

-- These belong to a connection or to a body. The subrequest has a connection of its own, and no body.
local DROPPED = {
    ["connection"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true, ["keep-alive"] = true,
    ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true, ["transfer-encoding"] = true,
}
local TOLD = { "residency-decision", "residency-subject", "residency-rule" }

-- The values of a header as a list. HAProxy counts them from 0, and its client from 1.
local function listed(values)
    local list = {}
    for index = 0, #values do
        list[#list + 1] = values[index]
    end
    return list
end

local function subrequest(txn)
    local came = txn.http:req_get_headers()
    local headers = {}
    for name, values in pairs(came) do
        if not DROPPED[name] then
            headers[name] = listed(values)
        end
    end
    headers["x-forwarded-method"] = { txn.f:method() }
    headers["x-forwarded-uri"] = { txn.f:pathq() }     -- as the client wrote it, nothing decoded
    headers["x-forwarded-host"] = came["host"] and listed(came["host"]) or {}
    headers["x-forwarded-for"] = { txn.f:src() }       -- replaced, whatever the client says
    return headers
end

-- The first value of a header of an answer, or "".
local function first(answer, name)
    local values = answer.headers and answer.headers[name]
    return values and (values[0] or values[1]) or ""
end

local function deny(txn, answer)
    local reply = txn:reply()
    reply:set_status(answer.status, answer.reason)
    for _, name in ipairs({ "content-type", "www-authenticate", "retry-after", "residency-decision", "cache-control" }) do
        local value = first(answer, name)
        if value ~= "" then
            reply:add_header(name, value)
        end
    end
    reply:set_body(answer.body or "")
    txn:done(reply)
end

core.register_action("residency_authorize", { "http-req" }, function(txn, address)
    local answer = core.httpclient():get{ url = address, headers = subrequest(txn), timeout = TIMEOUT_MS }
    local decision = first(answer, "residency-decision")
    if answer.status ~= 200 or not string.match(decision, "^[%x-]+$") then
        if answer.status == 401 or answer.status == 403 or answer.status == 400 or answer.status == 503 then
            deny(txn, answer)
        end
        return
    end
    for _, name in ipairs(TOLD) do
        txn.http:req_set_header(name, first(answer, name))
    end
    if string.find(first(answer, "residency-obligations"), "no-store", 1, true) then
        txn:set_var("txn.residency_no_store", true)
    end
    txn:set_var("txn.residency_decision", decision)
    txn:set_var("txn.residency_permitted", true)
end, 1)

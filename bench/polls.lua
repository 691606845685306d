-- Sends the requests of a plan in its order, again and again: wrk -s polls.lua URL -- PLAN
-- A plan is the order, as numbers from 1 with blanks between, and then the requests; each ends with a zero octet.

local requests, order, sent = {}, {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local pieces = file:read("*a"):gmatch("(.-)%z")
  file:close()
  for number in pieces():gmatch("%d+") do order[#order + 1] = tonumber(number) end
  for request in pieces do requests[#requests + 1] = request end
end

function request()
  sent = sent % #order + 1
  return requests[order[sent]]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "octets": %d, "p50": %d, "p99": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end

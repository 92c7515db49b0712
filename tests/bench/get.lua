-- wrk -s get.lua URL -- PATH TOKENS: the same path with one token after the other.
local requests, at = {}, 0

function init(args)
   for i = 0, tonumber(args[2]) - 1 do
      requests[i + 1] = wrk.format("GET", args[1], { Authorization = "Bearer board-" .. i })
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency, _)
   local e = summary.errors
   io.write(string.format(
      '{"count":%d,"us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n', summary.requests,
      summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), e.status,
      e.connect + e.read + e.write + e.timeout))
end

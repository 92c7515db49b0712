-- wrk -s get.lua URL -- PATH TOKENS: the same path with one token after the other.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

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
   report(summary, latency)
end

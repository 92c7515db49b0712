-- wrk -s login.lua URL -- PEOPLE PASSWORD THREADS: each of these people signs in, one after the other.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local thread_count, at, people, password, threads_wanted = 0, 0, 0, "", 1

function setup(thread)
   thread:set("id", thread_count)
   thread_count = thread_count + 1
end

function init(args)
   people, password, threads_wanted = tonumber(args[1]), args[2], tonumber(args[3])
   at = id
end

function request()
   at = (at + threads_wanted) % people
   return wrk.format("POST", "/v1/sessions", { ["Content-Type"] = "application/json" },
      string.format('{"email":"reader-%d@bench.example","password":"%s"}', at, password))
end

function done(summary, latency, _)
   report(summary, latency)
end

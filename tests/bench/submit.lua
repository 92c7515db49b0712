-- wrk -s submit.lua URL -- LINES BODIES THREADS: each line (path, token, number of the body) is submitted once.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "report.lua")

local thread_count, lines, bodies, at = 0, {}, {}, 0

function setup(thread)
   thread:set("id", thread_count)
   thread_count = thread_count + 1
   threads = threads or {}
   table.insert(threads, thread)
end

function init(args)
   ended = 0
   for line in io.lines(args[2]) do
      bodies[#bodies + 1] = line
   end
   local number, threads_wanted = 0, tonumber(args[3])
   for line in io.lines(args[1]) do
      if number % threads_wanted == id then
         lines[#lines + 1] = line
      end
      number = number + 1
   end
end

function request()
   at = at + 1
   if at > #lines then
      ended = ended + 1
      return wrk.format("GET", "/healthz", {})
   end
   local path, token, body = lines[at]:match("^(%S+)\t(%S+)\t(%d+)$")
   return wrk.format("POST", path, { Authorization = "Bearer " .. token, ["Content-Type"] = "application/json" },
      bodies[tonumber(body)])
end

function done(summary, latency, _)
   local beyond = 0
   for _, thread in ipairs(threads) do
      beyond = beyond + thread:get("ended")
   end
   report(summary, latency, string.format(',"beyond":%d', beyond))
end

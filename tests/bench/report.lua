-- What load.py reads of a run of wrk. more: further members, each with a comma before it; or nothing.
function report(summary, latency, more)
   local e = summary.errors
   io.write(string.format(
      '{"count":%d,"us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d%s}\n', summary.requests,
      summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), e.status,
      e.connect + e.read + e.write + e.timeout, more or ""))
end

-- Sends one file as the body of every request; prints the summary as one line of JSON.
-- arguments: file, content type, accept

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = arguments[2]
  wrk.headers["Accept"] = arguments[3]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'SUMMARY {"requests": %d, "seconds": %.6f, "bytes": %d, "p50": %.3f, "p90": %.3f, "p99": %.3f, "max": %.3f, '
      .. '"refused": %d, "broken": %d, "timeouts": %d, "bad_status": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.connect, errors.read + errors.write, errors.timeout, errors.status
  ))
end

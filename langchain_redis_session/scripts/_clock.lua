-- Shared: the time. It is the server's: a client's clock may be wrong.

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = (now_us - now_us % 1000) / 1000

-- Microseconds since 1970 as RFC 3339, with nine digits. Dates go after Howard Hinnant's
-- civil_from_days and days_from_civil: the sandbox has no os.date. (a - a % b) / b is the whole
-- part of a / b, without a call.
local function format_time(us)
  if us < -62135596800000000 then us = -62135596800000000 end  -- the year 1
  if us > 253402300799000000 then us = 253402300799000000 end  -- 9999, in a number that is exact
  local fraction = us % 1000000
  local seconds = (us - fraction) / 1000000
  local rest = seconds % 86400
  local days = (seconds - rest) / 86400 + 719468
  local doe = days % 146097
  local yoe = doe - (doe - doe % 1460) / 1460 + (doe - doe % 36524) / 36524
    - (doe - doe % 146096) / 146096
  yoe = (yoe - yoe % 365) / 365
  local doy = doe - (365 * yoe + (yoe - yoe % 4) / 4 - (yoe - yoe % 100) / 100)
  local mp = (5 * doy + 2 - (5 * doy + 2) % 153) / 153
  local first = 153 * mp + 2
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + (days - doe) / 146097 * 400 + (month <= 2 and 1 or 0)
  local second, hour_rest = rest % 60, rest % 3600
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06d000Z', year, month,
    doy - (first - first % 5) / 5 + 1, (rest - hour_rest) / 3600, (hour_rest - second) / 60, second,
    fraction)
end

-- Shared: the index of the ids of a session's messages.
--
-- It holds each id with the score of the last event that has it. The empty id says that one
-- stands in several events, up to which score. While the index is built, over several calls,
-- whatever is appended is put into it too; a mark at an infinite score says that older events are
-- still missing. A removal ends the build: what it removes may be under way to the index.

-- Gives the mark of the build that goes on; nothing if there is none.
local function find_build(index_key)
  return redis.call('ZRANGEBYSCORE', index_key, 'inf', 'inf', 'LIMIT', 0, 1)[1]
end

-- Whether the index knows an id: others may have removed its event, so that only counts where an
-- event stands at exactly its score.
local function is_indexed(index_key, events_key, id)
  local score = redis.call('ZSCORE', index_key, id)
  return score and redis.call('ZCOUNT', events_key, score, score) > 0
end

-- Put an id in; the events may come in any order, and again.
local function index_message(index_key, id, score)
  local known = redis.call('ZSCORE', index_key, id)
  if known and tonumber(known) == tonumber(score) then return end
  local last = known and tonumber(known) > tonumber(score) and known or score
  redis.call('ZADD', index_key, last, id)
  if not known then return end
  local several = redis.call('ZSCORE', index_key, '')
  if not several or tonumber(several) < tonumber(last) then
    redis.call('ZADD', index_key, last, '')
  end
end

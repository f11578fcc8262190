-- The keys of delayed jobs: accepted, and not in their lane before a moment of their own.
-- include: keys
--
-- The seq in the id of a delayed job is the moment at which it enters its lane. So from then on it is a job like any other: its
-- place, its order and its wait follow from its id, and no script has to know that it was delayed. No two delayed jobs have the
-- same seq: jobs of the same moment enter one microsecond after another, in the order of their acceptance.
local function delayed_key(user) return P .. 'delayed:' .. user end
local function later_key(id) return P .. 'later:' .. id end

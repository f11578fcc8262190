// The phases of a producer; ../python/producing.py says what each does.
const { parseArgs } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');
const { count, now, payload } = require('./records');

const BATCH = 500;
const START_LIMIT_SECONDS = 10;

async function fill(options, sendAll) {
  for (let first = 0; first < options.jobs; first += BATCH) {
    const batch = [];
    for (let number = first; number < Math.min(options.jobs, first + BATCH); number++) {
      const user = options.firstUser + (number % options.users);
      batch.push([user, payload(now(), user, number)]);
    }
    await sendAll(batch);
  }
  return 0;
}

async function awaiting(options, send) {
  for (let number = 0; number < options.jobs; number++) {
    const user = options.firstUser + (number % options.users);
    await send(user, payload(now(), user, number));
  }
  return 0;
}

async function idle(options, send) {
  let lost = 0;
  for (let number = 0; number < options.jobs; number++) {
    const user = options.firstUser + Math.floor(Math.random() * options.users);
    const before = count();
    await send(user, payload(now(), user, number));
    const deadline = now() + START_LIMIT_SECONDS;
    while (count() <= before) {
      if (now() > deadline) {
        lost++;
        break;
      }
      await sleep(1);
    }
    await sleep(5 + Math.random() * 20);
  }
  return lost;
}

async function paced(options, sendAll) {
  const start = now();
  const pending = [];
  let sent = 0;
  while (sent < options.jobs) {
    const due = Math.min(options.jobs, Math.floor((now() - start) * options.rate) + 1);
    const batch = [];
    for (; sent < due; sent++) {
      const user = options.firstUser + Math.floor(Math.random() * options.users);
      batch.push([user, payload(now(), user, sent)]);
    }
    if (batch.length) pending.push(sendAll(batch));
    await sleep(1);
  }
  await Promise.all(pending);
  return 0;
}

// send(user, payload) and sendAll([[user, payload], ...]) return promises
module.exports = async function produce(send, sendAll) {
  const { values } = parseArgs({
    options: Object.fromEntries(['phase', 'jobs', 'users', 'first-user', 'rate'].map((name) => [name, { type: 'string' }])),
  });
  const options = {
    jobs: Number(values.jobs),
    users: Number(values.users),
    firstUser: Number(values['first-user']),
    rate: Number(values.rate),
  };
  const phases = {
    fill: () => fill(options, sendAll),
    awaiting: () => awaiting(options, send),
    idle: () => idle(options, send),
    paced: () => paced(options, sendAll),
  };
  const start = now();
  const lost = await phases[values.phase]();
  console.log(JSON.stringify({ sent: options.jobs, seconds: now() - start, lost }));
  process.exit(0);
};

// A queue a user. The producer shares one connection, as Bull's documentation suggests.
const Queue = require('bull');
const Redis = require(require.resolve('ioredis', { paths: [require.resolve('bull')] }));
const produce = require('./producing');

process.setMaxListeners(0);
const client = new Redis(process.env.BENCH_REDIS_URL);
client.setMaxListeners(0);
const queues = new Map();
function queueOf(user) {
  let queue = queues.get(user);
  if (!queue) {
    queue = new Queue(`u${user}`, { createClient: () => client });
    queues.set(user, queue);
  }
  return queue;
}
const send = (user, data) => queueOf(user).add(data, { removeOnComplete: true });

for (let user = 0; user < Number(process.env.BENCH_USERS); user++) queueOf(user);
client.ping().then(() => produce(send, (batch) => Promise.all(batch.map(([user, data]) => send(user, data)))));

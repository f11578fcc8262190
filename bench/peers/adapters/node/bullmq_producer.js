// One queue for all users: groups are in the paid edition.
const { Queue } = require('bullmq');
const Redis = require(require.resolve('ioredis', { paths: [require.resolve('bullmq')] }));
const produce = require('./producing');

const connection = new Redis(process.env.BENCH_REDIS_URL, { maxRetriesPerRequest: null });
const queue = new Queue('jobs', { connection });
const opts = { removeOnComplete: true };

connection.ping().then(() =>
  produce(
    (_user, data) => queue.add('noop', data, opts),
    (batch) => queue.addBulk(batch.map(([_user, data]) => ({ name: 'noop', data, opts }))),
  ),
);

// A queue a user with five jobs at once, and Bull's default connections: three a queue.
const Queue = require('bull');
const { append } = require('./records');

process.setMaxListeners(0);
for (let user = 0; user < Number(process.env.BENCH_USERS); user++) {
  const queue = new Queue(`u${user}`, process.env.BENCH_REDIS_URL);
  queue.on('error', (error) => console.error('queue error', error));
  queue.process(5, async (job) => append(job.data));
}
process.on('SIGTERM', () => process.exit(0));

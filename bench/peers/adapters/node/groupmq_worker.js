// A group is served strictly one after another; many groups at once.
const { Redis } = require('ioredis');
const { Queue, Worker } = require('groupmq');
const { append } = require('./records');

const redis = new Redis(process.env.BENCH_REDIS_URL, { maxRetriesPerRequest: null });
const queue = new Queue({ redis, namespace: 'bench' });
const worker = new Worker({
  queue,
  concurrency: 50,
  handler: async (job) => append(job.data),
  onError: (error) => console.error('job error', error),
});
worker.on('error', (error) => console.error('worker error', error));
worker.run();
process.on('SIGTERM', () => process.exit(0));

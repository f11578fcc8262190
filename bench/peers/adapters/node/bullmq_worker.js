const { Worker } = require('bullmq');
const Redis = require(require.resolve('ioredis', { paths: [require.resolve('bullmq')] }));
const { append } = require('./records');

const connection = new Redis(process.env.BENCH_REDIS_URL, { maxRetriesPerRequest: null });
const worker = new Worker('jobs', async (job) => append(job.data), { connection, concurrency: 50 });
worker.on('error', (error) => console.error('worker error', error));
process.on('SIGTERM', () => process.exit(0));

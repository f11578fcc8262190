const { Redis } = require('ioredis');
const { Queue } = require('groupmq');
const produce = require('./producing');

const redis = new Redis(process.env.BENCH_REDIS_URL, { maxRetriesPerRequest: null });
const queue = new Queue({ redis, namespace: 'bench' });
const send = (user, data) => queue.add({ groupId: `u${user}`, data });

redis.ping().then(() => produce(send, (batch) => Promise.all(batch.map(([user, data]) => send(user, data)))));

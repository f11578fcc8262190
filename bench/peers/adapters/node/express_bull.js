// Express with a token, and a Bull queue a user. The key of the tokens is prebuilt: given a string, jsonwebtoken tries to
// read it as a public key at every call, which costs more than all the rest.
const { createSecretKey } = require('node:crypto');
const express = require('express');
const jwt = require('jsonwebtoken');
const Bull = require('bull');
const Redis = require(require.resolve('ioredis', { paths: [require.resolve('bull')] }));

const key = createSecretKey(Buffer.from(process.env.JWT_SECRET));
const options = { maxRetriesPerRequest: null, enableReadyCheck: false };
const client = new Redis(process.env.BENCH_REDIS_URL, options);
client.setMaxListeners(0);
const queues = new Map();
function queueOf(user) {
  let queue = queues.get(user);
  if (!queue) {
    queue = new Bull(`u${user}`, { createClient: () => client });
    queues.set(user, queue);
  }
  return queue;
}
const jobOptions = { attempts: 3, removeOnComplete: true };

const app = express();
app.use(express.json({ limit: '1mb' }));
app.use((req, res, next) => {
  try {
    const token = (req.headers.authorization ?? '').replace(/^Bearer /, '');
    req.user = jwt.verify(token, key, { algorithms: ['HS256'] }).sub;
  } catch {
    return res.status(401).json({ error: 'Unauthorized' });
  }
  next();
});
app.post('/api/enqueue', async (req, res) => {
  if (req.body?.request === undefined) return res.status(400).json({ error: 'a request is needed' });
  const job = await queueOf(req.user).add({ request: req.body.request }, jobOptions);
  res.json({ message: 'accepted', job_id: job.id });
});
app.post('/api/enqueue/batch', async (req, res) => {
  if (!Array.isArray(req.body?.requests)) return res.status(400).json({ error: 'requests are needed' });
  const jobs = await queueOf(req.user).addBulk(req.body.requests.map((data) => ({ data, opts: jobOptions })));
  res.json({ message: 'accepted', job_ids: jobs.map((job) => job.id) });
});
app.listen(Number(process.env.PORT), '127.0.0.1');

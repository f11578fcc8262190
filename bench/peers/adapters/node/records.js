// Start records, in the format of ../python/records.py, and the payload of every job.
const fs = require('node:fs');
const path = require('node:path');

const RECORD_BYTES = 24;
const folder = process.env.BENCH_RECORDS;
const record = Buffer.alloc(RECORD_BYTES);
let file = null;

// CLOCK_MONOTONIC in seconds, as Python's time.monotonic()
const now = () => Number(process.hrtime.bigint()) / 1e9;

// 40 characters, so that {"job": ...} has 50 bytes of JSON
function payload(enqueued, user, number) {
  const time = enqueued.toFixed(6).padStart(18, '0');
  return { job: `${time} ${String(user).padStart(8, '0')} ${String(number).padStart(12, '0')}` };
}

function append({ job }) {
  const started = now();
  file ??= fs.openSync(path.join(folder, `${process.pid}.records`), 'a');
  const [enqueued, user, number] = job.split(' ');
  record.writeDoubleLE(Number(enqueued), 0);
  record.writeDoubleLE(started, 8);
  record.writeUInt32LE(Number(user), 16);
  record.writeUInt32LE(Number(number), 20);
  fs.writeSync(file, record);
}

function count() {
  let bytes = 0;
  for (const name of fs.readdirSync(folder)) {
    if (name.endsWith('.records')) bytes += fs.statSync(path.join(folder, name)).size;
  }
  return Math.floor(bytes / RECORD_BYTES);
}

module.exports = { append, count, now, payload };

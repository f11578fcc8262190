// Records, in a page, how long frames take, how many live events come and how many rows are in its lists.
(() => {
  let events = 0;
  const fetched = window.fetch;
  window.fetch = async (...call) => {
    const reply = await fetched(...call);
    if (!String(call[0]).includes("api/events") || !reply.body) return reply;
    const [forPage, forCount] = reply.body.tee();
    void (async () => {
      const reader = forCount.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) events += part.value.split('"job_id"').length - 1;
    })();
    return new Response(forPage, { status: reply.status, headers: reply.headers });
  };

  /** Until `ms` have passed: up and down without a pause where `scroll`. Rows are those of the longest list at any frame. */
  window.recordFrames = (ms, scroll) =>
    new Promise((resolve) => {
      const frames = [];
      const before = events;
      const end = performance.now() + ms;
      let last = performance.now();
      let step = -60;
      let rows = 0;
      const frame = () => {
        const now = performance.now();
        frames.push(now - last);
        last = now;
        for (const list of document.querySelectorAll("main ul, main ol")) rows = Math.max(rows, list.children.length);
        if (now >= end) return resolve({ frames, events: events - before, rows });
        if (scroll) {
          const { scrollTop, scrollHeight, clientHeight } = document.documentElement;
          if (scrollTop === 0) step = 60;
          else if (scrollTop + clientHeight >= scrollHeight - 1) step = -60;
          window.scrollBy(0, step);
        }
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
    });
})();

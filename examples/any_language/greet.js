#!/usr/bin/env node
const fs = require("node:fs");

function point(key, value) {
  // Without a run there is no file.
  const path = process.env.TOOL_TELEMETRY_POINTS;
  if (!path) return;
  try {
    fs.appendFileSync(path, `${key}=${value}\n`);
  } catch {}
}

point("greet.language", "node");
if (process.argv[2] !== "hello") process.exit(2);
console.log("Hello from Node");

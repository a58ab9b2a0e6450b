// Checks deliveries with the real libraries: one JSON object a line in, one word a line out.

import { createInterface } from "node:readline";
import * as standardwebhooks from "standardwebhooks";
import * as svix from "svix";

function accepts(library, delivery) {
  try {
    new library.Webhook(delivery.secret).verify(delivery.body, delivery.headers);
    return true;
  } catch (error) {
    console.error(`${error}`);
    return false;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const delivery = JSON.parse(line);
  const said = new Set([standardwebhooks, svix].map((library) => accepts(library, delivery)));
  console.log(said.size > 1 ? "disagree" : said.has(true) ? "accepted" : "refused");
}

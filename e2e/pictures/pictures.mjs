// Draws a page as people see it, and has axe-core look for what not everybody can read.
//
// Arguments: the browser, the page, the folder for the pictures. Ends with 1 if a rule is broken.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const [browserPath, page, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const views = [
  { name: "light", width: 1280, scheme: "light" },
  { name: "dark", width: 1280, scheme: "dark" },
  { name: "narrow", width: 390, scheme: "light" },
  { name: "narrow-dark", width: 390, scheme: "dark" },
];

const browser = await puppeteer.launch({
  executablePath: browserPath,
  // It draws a page of ours, which asks for nothing; a sandbox needs rights that containers do not have.
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
});
let broken = 0;
try {
  for (const view of views) broken += await draw(view);
  await print();
} finally {
  await browser.close();
}
console.log(broken === 0 ? "axe-core finds nothing to mend" : `axe-core finds ${broken} faults`);
process.exit(broken === 0 ? 0 : 1);

async function opened(view) {
  const tab = await browser.newPage();
  const asked = [];
  tab.on("request", (request) => asked.push(request.url()));
  await tab.setBypassCSP(true);
  await tab.setViewport({ width: view.width, height: 900, deviceScaleFactor: 1 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: view.scheme }]);
  await tab.goto(pathToFileURL(page).href);
  const others = asked.filter((url) => url !== pathToFileURL(page).href);
  if (others.length > 0) throw new Error(`the page asks for ${others.join(", ")}`);
  return tab;
}

async function draw(view) {
  const tab = await opened(view);
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
  let faults = 0;
  if (wide > view.width) {
    console.log(`${view.name}: the page is ${wide} pixels wide, and the screen ${view.width}`);
    faults += 1;
  }
  await tab.screenshot({ path: join(folder, `${view.name}.png`), fullPage: true });
  await tab.evaluate(axe);
  const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await tab.evaluate((tags) => axe.run({ runOnly: tags }), rules);
  for (const rule of found.violations) {
    console.log(`${view.name}: ${rule.id} (${rule.impact}): ${rule.help}`);
    for (const node of rule.nodes.slice(0, 5)) console.log(`  ${node.target.join(" ")}: ${node.failureSummary.replace(/\s+/g, " ")}`);
    faults += 1;
  }
  console.log(`${view.name}: ${found.passes.length} rules hold, ${found.violations.length} do not`);
  await tab.close();
  return faults;
}

async function print() {
  const tab = await opened({ width: 1280, scheme: "dark" });
  await tab.pdf({ path: join(folder, "print.pdf"), preferCSSPageSize: true, printBackground: false });
  await tab.close();
}

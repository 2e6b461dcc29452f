// Checks the built site: every link leads to a file of it, and to an anchor that is there; nothing is loaded from elsewhere.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const dist = join(dirname(fileURLToPath(import.meta.url)), 'dist')
const base = process.env.CAROM_SITE_BASE ?? '/'
const files = new Set(readdirSync(dist, { recursive: true }).map((name) => name.split(sep).join('/')))
const html = new Map([...files].filter((name) => name.endsWith('.html')).map((name) => [name, readFileSync(join(dist, name), 'utf8')]))
const ids = new Map([...html].map(([name, text]) => [name, new Set([...text.matchAll(/ id="([^"]+)"/g)].map((m) => m[1]))]))
const faults = []
let links = 0

const plain = (text) => text.replaceAll('&amp;', '&')

for (const [name, text] of html) {
  for (const [, tag, attribute, value] of text.matchAll(/<(a|link|script|img|iframe|source)\b[^>]*?\s(href|src)="([^"]*)"/g)) {
    const url = plain(value)
    if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(url)) {
      if (tag !== 'a' && !url.startsWith('data:')) faults.push(`${name}: <${tag} ${attribute}="${url}"> is loaded from elsewhere`)
      continue
    }
    links++
    const [path, anchor] = decodeURI(url).split('#')
    let target = path === '' ? name : path.startsWith(base) ? path.slice(base.length) : posix.join(posix.dirname(name), path)
    if (target === '' || target.endsWith('/')) target += 'index.html'
    if (!files.has(target)) faults.push(`${name}: ${url} leads nowhere`)
    else if (anchor && !ids.get(target)?.has(anchor)) faults.push(`${name}: ${url} names no heading of ${target}`)
  }
}
for (const name of files) {
  if (!name.endsWith('.css')) continue
  for (const [, url] of readFileSync(join(dist, name), 'utf8').matchAll(/url\(["']?((?:https?:)?\/\/[^)"']+)/g)) {
    faults.push(`${name}: ${url} is loaded from elsewhere`)
  }
}
for (const fault of faults) console.error(fault)
console.log(`site: ${html.size} pages, ${links} links, ${faults.length} faults`)
process.exit(faults.length ? 1 : 0)

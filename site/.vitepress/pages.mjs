// Which files are pages of the site, at which address, and in which order the side bar lists them.
//
// The pages are the Markdown files of the repository, as they are: docs/ is the root of the site, the README its front page.
// So every link has to work in both places. Those between pages become links of the site; what they lead to besides, such as
// an example, is no page, and stays in the repository.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The folder of the repository. */
export const repository = fileURLToPath(new URL('../..', import.meta.url))

// Files beside docs/ that are pages too, with the name of their page.
const beside = {
  'README.md': 'index.md',
  'SECURITY.md': 'threat-model.md',
  'ARCHITECTURE.md': 'architecture.md',
  'CONTRIBUTING.md': 'contributing.md',
  'CHANGELOG.md': 'changelog.md',
}

// The groups of the side bar. An entry is a file with its label, or a folder with the label of its README.
const groups = [
  ['Start', [
    ['README.md', 'What carom is'],
    ['docs/install.md', 'Install'],
    ['docs/start-publisher.md', 'Start as a publisher'],
    ['docs/start-network.md', 'Start as a network'],
    ['docs/moving.md', 'Move to carom'],
    ['docs/import.md', 'Import URL templates'],
    ['docs/promises.md', 'Promises and limits'],
    ['docs/README.md', 'All pages'],
  ]],
  ['Guides', [
    ['docs/sources.md', 'Sources'],
    ['docs/endpoints.md', 'Endpoints'],
    ['docs/backends.md', 'Backends'],
    ['docs/rewards.md', 'Rules and rewards'],
    ['docs/views.md', 'Views'],
    ['docs/front-end.md', 'The front end'],
    ['docs/zones.md', 'Zones'],
    ['docs/ads.md', 'Ads'],
    ['docs/sdk.md', 'The SDK'],
    ['docs/confirmation.md', 'Confirmation'],
    ['docs/shadow.md', 'Shadow'],
    ['docs/probe.md', 'Probe a receiver'],
    ['docs/self-service.md', 'Self-service'],
    ['docs/check-endpoints.md', 'Check endpoints'],
    ['docs/reconcile.md', 'Reconcile'],
  ]],
  ['Networks', [['docs/networks', 'What each one sends']]],
  ['On call', [
    ['docs/operations.md', 'Running it'],
    ['docs/dashboard.md', 'The dashboard'],
    ['docs/people.md', 'People'],
    ['docs/postgresql.md', 'PostgreSQL'],
    ['docs/kubernetes.md', 'Kubernetes'],
    ['docs/repair.md', 'Repair'],
    ['docs/alerts.md', 'Alerts'],
    ['docs/runbook', 'Runbook'],
    ['docs/backup.md', 'Backups'],
    ['docs/move.md', 'Move to PostgreSQL'],
    ['docs/https.md', 'HTTPS'],
    ['docs/privacy.md', "Users' data"],
    ['docs/sizing.md', 'Sizing'],
    ['docs/scale.md', 'Scale'],
  ]],
  ['Reference', [
    ['docs/commands.md', 'Commands'],
    ['docs/config.md', 'Settings'],
    ['docs/api.md', 'HTTP interface'],
    ['docs/reference.md', 'HTTP reference'],
    ['docs/security.md', 'Security'],
    ['SECURITY.md', 'Threat model'],
    ['docs/performance.md', 'Performance'],
    ['docs/licences.md', 'Licences'],
    ['CHANGELOG.md', 'Changes'],
  ]],
  ['Design', [
    ['ARCHITECTURE.md', 'Architecture'],
    ['docs/decisions', 'Decisions'],
    ['CONTRIBUTING.md', 'Contributing'],
  ]],
]

/** Every page: the file in the repository, with the name that its page has on the site. */
export const pages = new Map([
  ...Object.entries(beside),
  ...readdirSync(join(repository, 'docs'), { recursive: true })
    .map((name) => name.split(sep).join('/'))
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => [`docs/${name}`, name === 'README.md' ? 'all.md' : name.replace(/README\.md$/, 'index.md')]),
])

/** The address of the page that is made of a file, or undefined if the file is no page. */
export function address(file) {
  return pages.get(file)?.replace(/^/, '/').replace(/\/index\.md$/, '/').replace(/\.md$/, '')
}

/**
 * What a link of a page leads to: the address of a page, or the path of something in the repository that is none.
 * A link that leads to neither ends the build.
 */
export function resolve(file, link) {
  const [path, anchor] = link.split('#')
  const hash = anchor === undefined ? '' : '#' + anchor
  if (path === '') return { href: hash }
  const target = normalize(join(dirname(file), decodeURI(path))).split(sep).join('/').replace(/\/$/, '')
  const href = address(target) ?? address(`${target}/README.md`)
  if (href) return { href: href + hash }
  if (existsSync(join(repository, target)) && !target.startsWith('..')) return { path: target }
  if (target.endsWith('.md')) return { href: link } // the build lists all of these as dead
  throw new Error(`${file}: the link ${link} leads nowhere`)
}

/** What the side bar calls the page that a link of a file leads to. */
export function label(file, link) {
  const target = link.startsWith('#') ? file : normalize(join(dirname(file), link.split('#')[0])).split(sep).join('/')
  for (const [, entries] of groups) for (const [path, text] of entries) if (path === target) return text
  return link
}

/** The path of a file within the repository, with slashes. */
export function inRepository(path) {
  return relative(repository, path).split(sep).join('/')
}

function heading(file) {
  return /^# (.+)$/m.exec(readFileSync(join(repository, file), 'utf8'))[1].replaceAll('`', '')
}

/** The side bar. What it lists has to be there, and every page has to be in it: nobody would find it otherwise. */
export function sidebar() {
  const listed = new Set()
  const item = (file, text) => {
    if (!pages.has(file)) throw new Error(`the side bar lists ${file}, which is not there: see site/.vitepress/pages.mjs`)
    listed.add(file)
    return { text, link: address(file) }
  }
  const entry = ([path, text]) => {
    if (path.endsWith('.md')) return item(path, text)
    const index = `${path}/README.md`
    const rest = [...pages.keys()].filter((file) => file.startsWith(`${path}/`) && file !== index)
    return { ...(pages.has(index) ? item(index, text) : { text }), collapsed: true, items: rest.map((file) => item(file, heading(file))) }
  }
  const bar = groups.map(([text, entries]) => ({ text, items: entries.map(entry) }))
  for (const file of pages.keys()) {
    if (!listed.has(file)) throw new Error(`the side bar does not list ${file}: add it in site/.vitepress/pages.mjs`)
  }
  return bar
}

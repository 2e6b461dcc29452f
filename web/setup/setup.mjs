// The set-up page of a publisher: which publisher, app and endpoint it shows, and what its sections share.
//
// The page is opened by a link whose token stands behind the #. Whoever has the link acts as the publisher until it ends, and can do
// nothing else: the server judges that, not this page.

import { ask, hasToken, path, takeToken } from './api.mjs'
import { deliverySection } from './deliveries.mjs'
import { $, h, problem, sentence } from './dom.mjs'
import { secretSection } from './secret.mjs'
import { templateSection } from './template.mjs'
import { trialSection } from './trial.mjs'
import { zoneSection } from './zones.mjs'

/** page is what the sections share. An app that is not there yet is one without a name; an endpoint that is not has the name ''. */
const page = {
  publisher: '',
  setup: undefined, // the answer of GET /v1/publishers/{publisher}
  appName: '',
  name: '',

  get app() {
    return this.setup.apps.find((a) => a.name === this.appName) ?? { name: '', origins: [], zones: [], endpoints: [], problems: [] }
  },
  get endpoint() {
    return this.app.endpoints.find((e) => e.endpoint.name === this.name)
  },

  /** choose shows another app, and its first endpoint or the one that is named. */
  choose(app, name) {
    this.appName = app
    this.name = name ?? this.app.endpoints[0]?.endpoint.name ?? ''
  },

  /** reload asks for everything again, and shows it. What is typed stays. */
  async reload() {
    const setup = await ask('GET', path('publishers', this.publisher))
    this.setup = setup
    if (this.appName && !this.app.name) this.choose(setup.apps[0]?.name ?? '')
    show()
  },

  /** failed says at the top what concerns the whole page: that the link counts no more. */
  failed(err) {
    if (err.status === 401) notice(ended(err))
  },

  /** made shows a secret, once. */
  made: (secret, until) => sections.secret.made(secret, until),
  /** dirty says whether the template has changes that are not saved. */
  dirty: () => sections.template.dirty(),
  /** tell says that one section has changed what another says. */
  tell: () => sections.trial.note(),
}

const sections = {}

const ended = (err) => [
  h('strong', {}, sentence(err.message)),
  ' A new link shows this page as it is: open it in this tab. Nothing that you typed is lost.',
]

/** notice says something about the whole page, or takes it back. */
function notice(content) {
  $('notice').hidden = !content
  $('notice').replaceChildren(...(content ?? []))
}

function show() {
  const { setup } = page
  document.title = `Postbacks of ${setup.title || setup.name}`
  $('whose').textContent = setup.title ? `${setup.title} (${setup.name})` : setup.name
  $('read-only').hidden = !setup.read_only
  const hints = [...(setup.apps.length === 0 ? [] : setup.problems), ...page.app.problems]
  $('hints').replaceChildren(...hints.map((p) => problem(p.level, p.message)))

  $('app').replaceChildren(...setup.apps.map((a) => h('option', { value: a.name }, a.title ? `${a.title} (${a.name})` : a.name)))
  $('app').value = page.appName
  $('app').closest('label').hidden = setup.apps.length < 2
  $('endpoint').replaceChildren(...page.app.endpoints.map(({ endpoint: e }) => h('option', { value: e.name }, e.name + (e.default ? ' (default)' : ''))),
    ...(setup.read_only ? [] : [h('option', { value: '' }, 'A new endpoint')]))
  $('endpoint').value = page.name
  const there = Boolean(page.app.name)
  $('chosen').hidden = !there || page.app.endpoints.length === 0
  for (const id of ['template', 'test', 'secret', 'deliveries']) {
    $(id).hidden = !there
    document.querySelector(`nav a[href="#${id}"]`).closest('li').hidden = !there
  }
  $('page').hidden = false
  if (there) {
    sections.template.show()
    sections.trial.show()
    sections.secret.show()
    sections.deliveries.show()
  }
  sections.zones.show()
}

async function open() {
  if (!hasToken()) {
    notice(['This page is opened by a link that your operator gives you. It looks like ', h('code', {}, `${location.origin}${location.pathname}#cps_…`),
      ': copy it whole, with what stands behind the #.'])
    return
  }
  try {
    const { publishers } = await ask('GET', 'publishers')
    if (publishers.length === 0) {
      notice(['This link shows no publisher: ask the operator for a new one.'])
      return
    }
    const another = page.publisher !== publishers[0].name
    page.publisher = publishers[0].name
    const setup = await ask('GET', path('publishers', page.publisher))
    page.setup = setup
    if (another || (page.appName && !page.app.name)) page.choose(setup.apps[0]?.name ?? '')
    notice()
    show()
  } catch (err) {
    if (err.status === 401) {
      notice(page.setup ? ended(err) : [h('strong', {}, sentence(err.message))])
      return
    }
    notice([sentence(err.message), ' ', h('button', { type: 'button', onclick: open }, 'Try again')])
  }
}

sections.template = templateSection(page)
sections.trial = trialSection(page)
sections.secret = secretSection(page)
sections.zones = zoneSection(page)
sections.deliveries = deliverySection(page)

$('app').addEventListener('change', () => {
  page.choose($('app').value)
  show()
})
$('endpoint').addEventListener('change', () => {
  page.choose(page.appName, $('endpoint').value)
  show()
})
// A new link that is opened in this tab changes nothing but what stands behind the #.
addEventListener('hashchange', () => {
  if (takeToken()) void open()
})

takeToken()
await open()

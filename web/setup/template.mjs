// The first section: an endpoint's template, what it would send, and what is wrong with it.

import { ask, path, Problem, storage } from './api.mjs'
import { completes, replace } from './complete.mjs'
import { $, h, once, problem, say, sentence, tell, words } from './dom.mjs'
import { addParameter, highlighted, insertion, notation } from './macros.mjs'

const previewAfter = 250 // ms without a key
const chipsShown = 8 // Monetag's own macros, which come first; the rest is one click away

// In brackets, problems name fields of the API, which have other names on this page.
const asked = / \((?:`signed`: true|event_types|values)\)/g

/** valuesOf is what the form shows of an endpoint, or of none yet. */
function valuesOf(page, endpoint) {
  const e = endpoint?.endpoint ?? {}
  const types = e.event_types ?? []
  const known = page.setup.event_types
  const zones = e.zones ?? []
  const ids = page.app.zones.map((z) => z.id)
  const values = (e.values ?? []).toSorted().join(', ')
  return {
    name: e.name ?? freeName(page),
    method: e.method ?? 'GET',
    dialect: e.dialect ?? '',
    url: e.url ?? '',
    contentType: e.content_type || 'json',
    body: e.body ?? '',
    events: types.length > 0 ? 'some' : 'all',
    types: types.filter((t) => known.includes(t)),
    otherTypes: types.filter((t) => !known.includes(t)).join(', '),
    paid: endpoint ? ({ '': 'all', valued: 'paid', 'empty, valued': 'said' }[values] ?? 'kept') : 'paid',
    zones: e.default ? 'default' : zones.length > 0 ? 'some' : 'all',
    someZones: zones.filter((id) => ids.includes(id)),
    otherZones: zones.filter((id) => !ids.includes(id)).join(', '),
    signed: null, // as the API finds it best, until somebody says
    headers: (e.headers ?? []).map((f) => `${f.name}: ${f.value}`).join('\n'),
    contains: e.contains ?? '',
    notContains: e.not_contains ?? '',
  }
}

function freeName(page) {
  const taken = page.app.endpoints.map((e) => e.endpoint.name)
  for (let n = 1; ; n++) {
    const name = n === 1 ? 'postback' : `postback-${n}`
    if (!taken.includes(name)) return name
  }
}

/** templateOf is what the API is told. What belongs to a POST stays in the form while the method is GET. */
function templateOf(values, endpoint, known) {
  const post = values.method === 'POST'
  const stored = endpoint?.endpoint
  let signed = values.signed
  if (signed === null && stored && !stored.signed && !post && values.url.includes(known.signature)) signed = true
  return {
    url: values.url,
    method: values.method,
    ...(post && { content_type: values.contentType, body: values.body }),
    ...(values.dialect && { dialect: values.dialect }),
    headers: values.headers.split('\n').filter((line) => line.trim()).map((line) => {
      const [name, ...rest] = line.split(':')
      return { name: name.trim(), value: rest.join(':').trim() }
    }),
    ...(stored?.sends !== 'rewards' && {
      event_types: values.events === 'some' ? [...values.types, ...words(values.otherTypes)] : [],
      values: { paid: ['valued'], said: ['valued', 'empty'], all: [], kept: stored?.values ?? [] }[values.paid],
      zones: values.zones === 'some' ? [...values.someZones, ...words(values.otherZones)] : [],
      default: values.zones === 'default',
    }),
    contains: values.contains,
    not_contains: values.notContains,
    ...(signed !== null && { signed }),
  }
}

/** fixOf finds, in the words of a problem, a fix that one press can make: the macro that was meant, a parameter that is missing. */
function fixOf(message, url, known) {
  const meant = /^unknown macro (\S+): did you mean (\S+)\?$/.exec(message)
  if (meant && url.includes(meant[1])) return { label: `Write ${meant[2]}`, url: url.replace(meant[1], () => meant[2]) }
  const missing = /&([\w.-]+)=(\S+?)(?=[\s,:;.]|$)/.exec(message)
  if (missing && known.macros.some((m) => m.written === missing[2]) && !url.includes(missing[2])) {
    return { label: `Add &${missing[1]}=${missing[2]}`, url: addParameter(url, missing[1], missing[2], known.signature) }
  }
  return undefined
}

/** templateSection makes the section. What it returns: show, to be called when the choice or what is stored has changed. */
export function templateSection(page) {
  const form = $('template-form')
  const url = $('url')
  const body = $('body')
  let stored = {} // the values as the server has them
  let signed = null // whether requests are signed, once somebody has said so
  let shownFor // which endpoint of which app the form shows
  let last = { url: [0, 0], body: [0, 0], box: url } // where the caret was, for macros that are clicked on
  let known = { open: '{', close: '}', macros: [], signature: '{signature}' }
  let timer, under // the preview that is waited for, and the one that is asked for
  let sum = '' // of the problems, as it was read out last

  const key = () => `carom-draft ${page.publisher}/${page.appName}/${page.name}`
  const radio = (name) => form.elements[name].value
  const checked = (id) => [...$(id).querySelectorAll('input:checked')].map((box) => box.value)

  const read = () => ({
    name: page.endpoint ? page.name : $('endpoint-name').value.trim(),
    method: radio('method'),
    dialect: $('dialect').value,
    url: url.value.trim(),
    contentType: $('content-type').value,
    body: body.value,
    events: radio('events'),
    types: checked('types'),
    otherTypes: $('other-types').value,
    paid: radio('paid'),
    zones: radio('zones'),
    someZones: checked('zone-choices'),
    otherZones: $('other-zones').value,
    signed,
    headers: $('headers').value,
    contains: $('must-contain').value,
    notContains: $('must-not-contain').value,
  })

  const choices = (place, list, on) =>
    $(place).replaceChildren(...list.map(({ value, label }) =>
      h('label', { class: 'choice' }, h('input', { type: 'checkbox', value, checked: on.includes(value) }), h('span', {}, label))))

  function write(v) {
    $('endpoint-name').value = v.name
    form.elements.method.value = v.method
    $('dialect').replaceChildren(h('option', { value: '' }, '{ymid}, as Monetag does'),
      ...page.setup.dialects.map((d) => h('option', { value: d.name }, `${d.name}, as ${d.macros[0]?.written}`)))
    $('dialect').value = v.dialect
    url.value = v.url
    $('content-type').value = v.contentType
    body.value = v.body
    form.elements.events.value = v.events
    choices('types', page.setup.event_types.map((value) => ({ value, label: value })), v.types)
    $('other-types').value = v.otherTypes
    form.elements.paid.value = v.paid
    $('paid-kept').hidden = valuesOf(page, page.endpoint).paid !== 'kept'
    $('paid-kept-values').textContent = (page.endpoint?.endpoint.values ?? []).join(', ')
    form.elements.zones.value = v.zones
    choices('zone-choices', page.app.zones.map((z) => ({ value: z.id, label: z.title ? `${z.id} (${z.title})` : z.id })), v.someZones)
    $('other-zones').value = v.otherZones
    signed = v.signed
    $('headers').value = v.headers
    $('must-contain').value = v.contains
    $('must-not-contain').value = v.notContains
    arrange()
  }

  /** arrange shows and hides what goes with what is chosen, and names it. */
  function arrange() {
    known = notation(page.setup, $('dialect').value)
    const v = read()
    $('name-field').hidden = Boolean(page.endpoint)
    $('dialect-field').hidden = page.setup.dialects.length === 0
    $('post-fields').hidden = v.method !== 'POST'
    $('event-fields').hidden = page.endpoint?.endpoint.sends === 'rewards'
    $('some-events').hidden = v.events !== 'some'
    $('some-zones').hidden = v.zones !== 'some'
    $('url-help').textContent = `Type ${known.open} to choose a macro.`
    $('which-said').textContent = page.endpoint?.endpoint.sends === 'rewards' ? 'rewards' : said(v)
    $('undo').hidden = !dirty()
    $('remove-endpoint').hidden = !page.endpoint || page.setup.read_only === true
    showMacros()
    page.tell('template')
  }

  function said(v) {
    const types = v.events === 'all' ? 'all events' : [...v.types, ...words(v.otherTypes)].join(', ') || 'all events'
    const paid = { paid: 'paid ones', said: 'paid or unsaid', all: 'unpaid too', kept: 'as it is' }[v.paid]
    const zones = { all: 'all zones', default: 'zones of no other', some: [...v.someZones, ...words(v.otherZones)].join(', ') || 'all zones' }[v.zones]
    return `${types}; ${paid}; ${zones}`
  }

  let listed // the notation whose macros are shown
  function showMacros() {
    const now = JSON.stringify(known)
    if (listed === now) return
    listed = now
    const button = (m) => h('button', { type: 'button', class: 'chip', title: m.meaning, onmousedown: (e) => e.preventDefault(), onclick: () => insert(m) }, m.written)
    const signature = known.macros.filter((m) => m.name === 'signature')
    $('chips').replaceChildren(...[...known.macros.slice(0, chipsShown), ...signature].map((m) => h('li', {}, button(m))))
    $('macro-table').replaceChildren(...known.macros.map((m) =>
      h('li', {}, button(m), h('span', {}, m.meaning), m.sample && h('span', { class: 'muted' }, 'such as ', h('code', {}, m.sample)))))
  }

  function insert(macro) {
    const box = last.box === body && $('post-fields').hidden ? url : last.box
    const [start, end] = last[box.id]
    const { text, caret } = insertion(box.value, Math.min(start, box.value.length), Math.min(end, box.value.length), macro, known, box === url)
    put(box, text)
    box.setSelectionRange(caret, caret)
    last[box.id] = [caret, caret]
    say(`${macro.written} is in`)
  }

  /** put gives a text area a new text by changing only what differs, so that undo works. */
  function put(box, text) {
    const was = box.value
    let from = 0
    while (from < was.length && was[from] === text[from]) from++
    let back = 0
    while (back < was.length - from && back < text.length - from && was[was.length - 1 - back] === text[text.length - 1 - back]) back++
    replace(box, from, was.length - back, text.slice(from, text.length - back))
  }

  const dirty = () => JSON.stringify(read()) !== JSON.stringify(stored)

  /** changed notes what is in the form, and asks for a preview when it has settled. */
  function changed() {
    if (dirty()) storage.set(key(), JSON.stringify(read()))
    else storage.remove(key())
    tell($('saved'), '')
    arrange()
    clearTimeout(timer)
    timer = setTimeout(preview, previewAfter)
  }

  async function preview() {
    clearTimeout(timer)
    under?.abort()
    const mine = (under = new AbortController())
    const v = read()
    if (v.url === '' && !page.endpoint) {
      showPreview({ macros: [], headers: [], problems: [], signed: false }, v)
      return
    }
    $('preview').setAttribute('aria-busy', 'true')
    const request = { app: page.appName, ...(page.endpoint && { name: page.name }), ...templateOf(v, page.endpoint, known) }
    try {
      const answer = await ask('POST', path('publishers', page.publisher, 'preview'), request, mine.signal)
      if (under === mine) showPreview(answer, v)
    } catch (err) {
      if (mine.signal.aborted || !(err instanceof Problem)) return
      page.failed(err)
      if (err.status === 422) showProblems(faultsOf(err), v)
      else $('preview-note').textContent = `It is not up to date. ${sentence(err.message)}`
    } finally {
      if (under === mine) $('preview').removeAttribute('aria-busy')
    }
  }

  const faultsOf = (err) =>
    err.faults.length > 0
      ? err.faults.map(({ field, message }) => ({ level: 'fault', field, message }))
      : [{ level: 'fault', field: '', message: err.message }]

  function showProblems(list, v) {
    const place = ({ field }) => (!field || field === 'url' ? '' : `${field}: `)
    $('problems').replaceChildren(...list.map((p) => {
      const fix = page.setup.read_only ? undefined : fixOf(p.message, v.url, known)
      return problem(p.level, place(p) + p.message.replace(asked, ''), fix && h('button', { type: 'button', class: 'small', onclick: () => put(url, fix.url) }, fix.label))
    }))
    url.setAttribute('aria-invalid', String(list.some((p) => p.level === 'fault' && (!p.field || p.field === 'url'))))
    const count = (level, word) => {
      const n = list.filter((p) => p.level === level).length
      return n > 0 && `${n} ${word}${n > 1 ? 's' : ''}`
    }
    const now = [count('fault', 'fault'), count('warning', 'warning')].filter(Boolean).join(', ')
    if (now !== sum) say(now || 'No problems')
    sum = now
  }

  function showPreview(p, v) {
    $('preview-note').textContent = ''
    showProblems(p.problems, v)
    if (signed === null) $('signed').checked = p.signed
    $('signed').indeterminate = false
    $('signed-help').textContent = [
      v.method === 'POST' ? 'A POST is signed in its headers.' : `A GET is signed by its last parameter, such as &sig=${known.signature}.`,
      page.endpoint?.endpoint.signed && 'Without the tick its secret is removed.',
    ].filter(Boolean).join(' ')
    const uses = p.macros.filter((m) => m.where === 'url')
    const value = ({ text, macro, masked }) =>
      macro ? h('mark', { title: macro, class: text === '' ? 'empty' : null }, text) : masked ? h('span', { class: 'masked', title: 'hidden' }, text) : text
    $('preview-body').replaceChildren(...[
      p.url === undefined && h('p', { class: 'muted' }, v.url === '' ? 'Write the URL of your server above.' : 'Nothing, while there is a fault.'),
      p.url !== undefined && h('p', { class: 'rendered' }, h('strong', {}, p.method), ' ', h('code', {}, highlighted(v.url, p.url, uses).map(value))),
      p.headers.length > 0 && h('ul', { class: 'lines' }, p.headers.map((f) => h('li', {}, h('code', {}, `${f.name}: ${f.value}`)))),
      p.body && h('pre', { tabindex: '0' }, h('code', {}, p.body)),
      p.macros.length > 0 && h('ul', { class: 'table', 'aria-label': 'Macros in it' }, p.macros.map((m) =>
        h('li', {}, h('code', {}, m.written), m.sample === '' ? h('i', { class: 'muted' }, 'empty here') : h('mark', {}, m.sample),
          h('span', { class: 'muted' }, m.meaning)))),
    ].filter(Boolean))
  }

  async function save() {
    const v = read()
    const request = templateOf(v, page.endpoint, known)
    const at = path('publishers', page.publisher, 'endpoints', page.appName, v.name)
    try {
      const answer = await ask('PUT', at, request)
      storage.remove(key())
      const same = JSON.stringify(read()) === JSON.stringify(v)
      page.name = v.name
      shownFor = same ? undefined : `${page.appName}/${page.name}` // what was typed meanwhile stays
      await page.reload()
      showProblems(answer.problems, read())
      tell($('saved'), answer.signing_secret ? 'Saved. Its signing secret is below, this once.' : 'Saved.')
      if (answer.signing_secret) page.made(answer.signing_secret)
    } catch (err) {
      page.failed(err)
      if (err.status === 422) {
        showProblems(faultsOf(err), v)
        tell($('saved'), 'Not saved: see the faults above.', true)
        $('problems').scrollIntoView({ block: 'nearest' })
      } else tell($('saved'), `Not saved, and nothing is lost. ${sentence(err.message)}`, true)
    }
  }

  async function remove() {
    const button = $('remove-endpoint')
    if (!button.dataset.sure) {
      button.dataset.sure = 'yes'
      button.textContent = 'Remove it for good: what it is still owed is not sent'
      return
    }
    try {
      await ask('DELETE', path('publishers', page.publisher, 'endpoints', page.appName, page.name))
      storage.remove(key())
      const gone = page.name
      page.name = ''
      shownFor = undefined
      await page.reload()
      tell($('saved'), `${gone} is removed.`)
    } catch (err) {
      page.failed(err)
      tell($('saved'), sentence(err.message), true)
    }
    forget()
  }

  /** forget takes back the first press of the button that removes. */
  function forget() {
    delete $('remove-endpoint').dataset.sure
    $('remove-endpoint').textContent = 'Remove this endpoint'
  }

  form.addEventListener('input', (e) => {
    if (e.target === url && /[\r\n]/.test(url.value)) {
      const caret = url.selectionStart - 1
      url.value = url.value.replace(/[\r\n]+/g, '') // a URL has no lines
      url.setSelectionRange(caret, caret)
    }
    if (e.target === $('signed')) {
      const is = $('signed').checked
      signed = page.endpoint && is === page.endpoint.endpoint.signed ? null : is
    }
    changed()
  })
  form.addEventListener('submit', (e) => {
    e.preventDefault()
    void once($('save'), save)
  })
  url.addEventListener('keydown', (e) => {
    if (e.key !== 'Enter' || e.defaultPrevented) return
    e.preventDefault()
    form.requestSubmit()
  })
  for (const box of [url, body]) {
    completes(box, $(`${box.id}-list`), () => known)
    box.addEventListener('blur', () => {
      last = { ...last, [box.id]: [box.selectionStart, box.selectionEnd], box }
    })
    for (const event of ['keyup', 'click', 'input']) {
      box.addEventListener(event, () => (last = { ...last, [box.id]: [box.selectionStart, box.selectionEnd], box }))
    }
  }
  $('undo').addEventListener('click', () => {
    storage.remove(key())
    write(stored)
    changed()
    url.focus()
  })
  $('remove-endpoint').addEventListener('click', () => once($('remove-endpoint'), remove))
  $('remove-endpoint').addEventListener('blur', forget)

  return {
    dirty,
    /** show fills the form in, and keeps what was typed and not saved. */
    show() {
      const now = `${page.appName}/${page.name}`
      const another = shownFor !== now
      const typed = another ? draft() : dirty() ? read() : undefined
      shownFor = now
      write(valuesOf(page, page.endpoint))
      stored = read()
      if (typed) write(typed)
      if (another) {
        last = { url: [url.value.length, url.value.length], body: [body.value.length, body.value.length], box: url }
        forget()
        tell($('saved'), dirty() ? 'These are changes that you have not saved yet.' : '')
      }
      showLane()
      for (const el of form.elements) if (el.id !== 'remove-endpoint') el.disabled = page.setup.read_only === true
      $('undo').hidden = !dirty()
      void preview()
    },
  }

  /** draft is what was typed before a reload, or before another endpoint was looked at. */
  function draft() {
    try {
      const typed = JSON.parse(storage.get(key()))
      const form = valuesOf(page, page.endpoint)
      return typed && Object.keys(form).every((k) => k in typed) ? typed : undefined
    } catch {
      return undefined
    }
  }

  function showLane() {
    const e = page.endpoint
    const waiting = e?.backlog.waiting ?? 0
    $('lane').textContent = !e ? '' : [
      e.endpoint.paused && 'The operator has paused it.',
      e.lane.breaker === 'open' && `Your server fails (${e.lane.last_failure || 'no answer'}): it is tried again from time to time, and nothing is lost meanwhile.`,
      waiting > 0 && `${waiting} ${waiting === 1 ? 'postback waits' : 'postbacks wait'} to be sent.`,
    ].filter(Boolean).join(' ')
  }
}

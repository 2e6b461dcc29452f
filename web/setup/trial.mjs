// The second section: a test at the publisher's own server, and what its answer means.

import { ask, path } from './api.mjs'
import { $, h, once, problem, sentence, shape, tell, time, took } from './dom.mjs'

const maxResults = 5 // of one endpoint, so that one can compare

const verdicts = {
  delivered: ['delivered', 'Delivered'],
  would_retry: ['pending', 'Would be tried again'],
  would_give_up: ['dead', 'Would be given up'],
}

/** trialSection makes the section. */
export function trialSection(page) {
  const results = new Map() // by app/name, newest first

  function card({ at, result }, newest) {
    const { request, answer } = result
    const [name, word] = verdicts[result.verdict] ?? ['pending', result.verdict]
    const exchange = [
      h('h4', {}, 'Request'),
      h('pre', { tabindex: '0' }, h('code', {}, `${request.method} ${request.url}`)),
      h('ul', { class: 'lines' }, request.headers.map((f) => h('li', {}, h('code', {}, `${f.name}: ${f.value}`)))),
      request.body && h('pre', { tabindex: '0' }, h('code', {}, request.body)),
      h('h4', {}, 'Answer'),
      answer
        ? [
            h('p', {}, `Status ${answer.status}`, answer.content_type && [', ', h('code', {}, answer.content_type)], answer.address && [', from ', h('code', {}, answer.address)]),
            answer.body ? h('pre', { class: 'answer', tabindex: '0' }, h('code', {}, answer.body)) : h('p', { class: 'muted' }, 'It has no text.'),
            answer.truncated && h('p', { class: 'muted' }, 'Only its beginning is shown.'),
          ]
        : h('p', {}, 'None came: ', h('code', {}, result.error || result.phase || 'no reason is known')),
      h('p', { class: 'muted' }, result.verified ? 'The request was signed. ' : 'The request was not signed. ', 'Its ymid: ', h('code', {}, request.ymid), '.'),
    ].flat()
    return h('li', { class: 'card' },
      h('p', { class: 'head' }, h('span', { class: `state ${name}` }, shape(name), word), h('span', { class: 'muted' }, took(result.took_ms)), h('span', { class: 'muted' }, time(at))),
      h('p', { class: 'meaning' }, sentence(result.meaning)),
      result.problems.length > 0 && h('ul', { class: 'problems' }, result.problems.map((p) => problem(p.level, p.message))),
      newest ? exchange : h('details', {}, h('summary', {}, `Request and answer${answer ? `: ${answer.status}` : ''}`), exchange))
  }

  const key = () => `${page.appName}/${page.name}`
  const showResults = () => $('results').replaceChildren(...(results.get(key()) ?? []).map((r, i) => card(r, i === 0)))

  async function send() {
    const at = key()
    const asked = {}
    for (const [field, id] of Object.entries({
      event_type: 'test-type', reward_event_type: 'test-value', zone_id: 'test-zone', ymid: 'test-ymid', request_var: 'test-var', telegram_id: 'test-user',
    })) {
      const value = $(id).value.trim()
      if (value) asked[field] = value
    }
    tell($('test-said'), '')
    $('results').setAttribute('aria-busy', 'true')
    $('send-test').textContent = 'Waiting for your server …'
    try {
      const result = await ask('POST', path('publishers', page.publisher, 'endpoints', ...at.split('/'), 'test'), asked)
      results.set(at, [{ at: new Date().toISOString(), result }, ...(results.get(at) ?? [])].slice(0, maxResults))
      const [, word] = verdicts[result.verdict] ?? ['', result.verdict]
      tell($('test-said'), `${word}, after ${took(result.took_ms)}${result.answer ? `, status ${result.answer.status}` : ', without an answer'}.`, result.verdict !== 'delivered')
    } catch (err) {
      page.failed(err)
      tell($('test-said'), `No test was sent. ${sentence(err.message)}`, true)
    } finally {
      $('results').removeAttribute('aria-busy')
      $('send-test').textContent = 'Send a test to your server'
    }
    showResults()
  }

  $('test-form').addEventListener('submit', (e) => {
    e.preventDefault()
    if (page.endpoint) void once($('send-test'), send)
  })

  const options = (id, none, list) => {
    const held = $(id).value
    $(id).replaceChildren(h('option', { value: '' }, none), ...list.map(([value, label]) => h('option', { value }, label)))
    $(id).value = list.some(([value]) => value === held) ? held : ''
  }

  return {
    /** note says what a test would not try: what is not saved. */
    note() {
      $('send-test').disabled = !page.endpoint
      $('test-note').textContent = !page.endpoint
        ? 'Save the template first: a test sends what is saved.'
        : page.dirty() ? 'Your changes are not saved: a test sends what was saved last.' : ''
    },
    show() {
      const types = [...new Set([...page.setup.event_types, ...(page.endpoint?.endpoint.event_types ?? [])])]
      options('test-type', 'As the endpoint asks', types.map((t) => [t, t]))
      options('test-zone', 'As the endpoint asks', page.app.zones.map((z) => [z.id, z.title ? `${z.id} (${z.title})` : z.id]))
      const from = page.setup.egress_addresses
      $('egress').textContent = from.length > 0 ? `For your firewall: postbacks and tests come from ${from.join(', ')}.` : ''
      tell($('test-said'), '')
      showResults()
      this.note()
    },
  }
}

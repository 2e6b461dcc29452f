// The fifth section: what was sent to the publisher's server, and what came of it.

import { ask, path } from './api.mjs'
import { $, h, once, sentence, shape, tell, time, took } from './dom.mjs'

const pageSize = 20

/** deliverySection makes the section. */
export function deliverySection(page) {
  let next = '' // the cursor of older ones
  let under // the request that is under way
  let shownFor
  const open = new Set() // deliveries whose attempts are open

  const attempt = (a) =>
    h('li', {},
      h('p', { class: 'head' }, h('span', { class: `state ${a.state}` }, shape(a.state), a.state),
        h('span', {}, `attempt ${a.number}`), h('span', { class: 'muted' }, time(a.at)), a.took_ms > 0 && h('span', { class: 'muted' }, took(a.took_ms))),
      a.reason && h('p', {}, sentence(a.reason)),
      a.flags?.length > 0 && h('p', { class: 'muted' }, a.flags.join(', ')),
      a.url && h('pre', { tabindex: '0' }, h('code', {}, `${a.method} ${a.url}${a.sent ? `\n\n${a.sent}` : ''}`)),
      a.status ? h('p', {}, `Your server answered ${a.status}${a.answer ? ':' : ', without a text.'}`) : a.method && h('p', {}, 'No answer came.'),
      a.answer && h('pre', { class: 'answer', tabindex: '0' }, h('code', {}, a.answer)),
      a.state === 'pending' && a.due && h('p', { class: 'muted' }, 'The next one is due ', time(a.due), '.'))

  function card(d) {
    const said = h('div', { class: 'outcome', role: 'status' })
    const resend = h('button', { type: 'button', class: 'small', onclick: () => once(resend, send), 'aria-label': `Resend ${d.id}` }, 'Resend')
    const send = async () => {
      try {
        await ask('POST', path('deliveries', d.id, 'resend'))
      } catch (err) {
        page.failed(err)
        tell(said, `Not resent. ${sentence(err.message)}`, true)
        return
      }
      tell($('log-said'), `${d.id} is sent again, under the same id.`)
      await load()
      $('refresh').focus()
    }
    const n = d.attempts.length
    const attempts = n > 0 && h('details', {
      open: open.has(d.id),
      ontoggle: () => (attempts.open ? open.add(d.id) : open.delete(d.id)),
    }, h('summary', {}, `${n} attempt${n > 1 ? 's' : ''}${d.attempts.at(-1).status ? `, last answer ${d.attempts.at(-1).status}` : ''}`), h('ol', { class: 'attempts' }, d.attempts.map(attempt)))
    return h('li', { class: 'card' },
      h('p', { class: 'head' }, h('span', { class: `state ${d.state}` }, shape(d.state), d.state),
        h('span', {}, [d.reward ? 'reward' : d.event_type, d.reward_event_type].filter(Boolean).join(', ')),
        d.test && h('span', { class: 'muted' }, 'test'), h('span', { class: 'muted' }, time(d.at)), d.state !== 'pending' && resend),
      h('dl', {},
        [['ymid', d.ymid], ['zone', d.zone_id], ['request_var', d.request_var], ['delivery', d.id]].filter(([, v]) => v).map(([k, v]) => h('div', {}, h('dt', {}, k), h('dd', {}, h('code', {}, v))))),
      d.state === 'pending' && d.due && h('p', { class: 'muted' }, 'Due ', time(d.due)),
      attempts,
      said)
  }

  /** load gets the newest, or what is older than those that are shown. */
  async function load(older = false) {
    under?.abort()
    const mine = (under = new AbortController())
    const query = new URLSearchParams({ limit: pageSize, ...($('state').value && { state: $('state').value }), ...(older && { before: next }) })
    $('log').setAttribute('aria-busy', 'true')
    try {
      const answer = await ask('GET', `${path('publishers', page.publisher, 'endpoints', page.appName, page.name, 'deliveries')}?${query}`, undefined, mine.signal)
      const cards = answer.deliveries.map(card)
      if (older) $('log').append(...cards)
      else $('log').replaceChildren(...cards)
      next = answer.next ?? ''
      $('older').hidden = next === ''
      if ($('log').childElementCount === 0) {
        $('log').replaceChildren(h('li', { class: 'muted' }, $('state').value ? `None of the newest is ${$('state').value}.` : 'Nothing was sent yet. Tests do not show here.'))
      }
    } catch (err) {
      if (mine.signal.aborted) return
      page.failed(err)
      tell($('log-said'), `The log is not up to date. ${sentence(err.message)}`, true)
    } finally {
      if (under === mine) $('log').removeAttribute('aria-busy')
    }
  }

  $('refresh').addEventListener('click', () => once($('refresh'), async () => {
    if (!page.endpoint) return
    tell($('log-said'), '')
    await page.reload() // how the lane stands, too
    await load()
    if (!$('log-said').classList.contains('bad')) tell($('log-said'), 'Up to date.')
  }))
  $('state').addEventListener('change', () => page.endpoint && load())
  $('older').addEventListener('click', () => once($('older'), async () => {
    const at = $('log').childElementCount
    await load(true)
    const new_ = $('log').children[at]
    new_?.setAttribute('tabindex', '-1')
    new_?.focus()
  }))

  return {
    show() {
      const now = page.endpoint ? `${page.appName}/${page.name}` : ''
      if (shownFor === now) return
      shownFor = now
      tell($('log-said'), '')
      $('log').replaceChildren()
      $('older').hidden = true
      $('refresh').disabled = now === ''
      if (now === '') $('log').replaceChildren(h('li', { class: 'muted' }, 'There is nothing yet: save a template first.'))
      else void load()
    },
  }
}

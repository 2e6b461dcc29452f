// The Mini App: it asks its own backend for a view, shows the ad with the network's SDK, and waits for what the publisher's
// carom says. It pays nobody: the coins come by the backend alone.

const tag = document.querySelector('script[data-publisher]')
const publisher = tag.dataset.publisher
const show = window[`show_${tag.dataset.zone}`]
const byID = (id) => document.getElementById(id)
const say = (text) => (byID('note').textContent = text)

function step(title, text) {
  const item = document.createElement('li')
  const head = document.createElement('strong')
  const code = document.createElement('code')
  head.textContent = title
  code.textContent = text
  item.append(head, code)
  byID('steps').append(item)
}

async function ask(path, options) {
  const answer = await fetch(path, options)
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`)
  return answer.json()
}

/** outcome waits until the publisher's carom has confirmed the view, or will not. */
async function outcome(view) {
  for (;;) {
    const answer = await fetch(`${publisher}/v1/views/${view.view_id}?wait=20s`, { headers: { Authorization: `Bearer ${view.token}` } })
    if (!answer.ok) throw new Error(`the view cannot be asked about: ${answer.status}`)
    const standing = await answer.json()
    if (standing.state !== 'open' || standing.unpaid) return standing
  }
}

async function refresh() {
  byID('coins').textContent = (await ask('/api/coins')).coins
}

async function watch() {
  byID('steps').replaceChildren()
  say('Looking for an ad …')
  const view = await ask('/api/view', { method: 'POST' })
  const ad = await show({ ymid: view.ymid, requestVar: 'bonus-btn', catchIfNoFeed: true })
  step('The network confirmed the ad', JSON.stringify(ad, null, 2))
  say('Thank you! Your coins are on their way …')
  const standing = await outcome(view)
  const before = Number(byID('coins').textContent)
  for (let i = 0; i < 50 && standing.state === 'confirmed' && before === Number(byID('coins').textContent); i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    await refresh()
  }
  const trace = await ask(`/api/trace?ymid=${encodeURIComponent(view.ymid)}`)
  trail(trace, standing)
  say(standing.state === 'confirmed' ? `You got ${standing.reward.amount} ${standing.reward.currency}.` : `No coins for this ad: ${standing.reason ?? standing.state}.`)
}

/** trail shows what both ends have on record. */
function trail({ network, publisher }, standing) {
  for (const [title, { event, deliveries }] of [['What the network recorded, and sent', network], ['What the publisher received, and sent', publisher]]) {
    const lines = [`${event.id}  ${event.event_type}  ${event.reward_event_type}`]
    for (const delivery of deliveries ?? []) {
      for (const attempt of delivery.attempts ?? []) lines.push(`${attempt.method} ${attempt.url}`, `→ ${attempt.status} after ${attempt.took_ms} ms`)
    }
    step(title, lines.join('\n'))
  }
  if (standing.reward) step('The reward', JSON.stringify(standing.reward, null, 2))
}

byID('watch').onclick = async () => {
  byID('watch').disabled = true
  try {
    await watch()
  } catch (err) {
    say(err.code === 'no_feed' ? 'There is no ad right now.' : `It did not work: ${err.message}`)
  }
  byID('watch').disabled = false
}
await refresh()
document.documentElement.dataset.ready = 'yes'

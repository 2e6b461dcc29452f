// The third section: the signing secret, and how a server checks what is signed with it.

import { ask, path } from './api.mjs'
import { $, code, copyButton, h, once, sentence, tell, time } from './dom.mjs'
import { notation, signatureParameter } from './macros.mjs'
import { sampleGET, samplePOST } from './samples.mjs'

/** secretSection makes the section. */
export function secretSection(page) {
  let madeFor // the endpoint whose secret is on the page

  const hide = () => {
    madeFor = undefined
    $('made').hidden = true
    $('made').replaceChildren() // nothing of it stays behind
  }

  /** made shows a secret, once. */
  function made(secret, until) {
    madeFor = `${page.appName}/${page.name}`
    $('made').replaceChildren(
      h('h3', { id: 'made-title' }, 'Your new signing secret'),
      h('p', {}, 'It is shown this once. Keep it where your server reads its settings, and nowhere else.'),
      h('div', { class: 'secret' }, h('code', { id: 'made-secret', tabindex: '0' }, secret), copyButton('Copy the secret', () => secret)),
      until ? h('p', {}, 'The old one counts until ', time(until), ': requests carry both signatures until then.') : '',
      h('button', { type: 'button', onclick: () => { hide(); $('secret-title').focus() } }, 'I have it, hide it'))
    $('made').hidden = false
    $('made').scrollIntoView({ block: 'center' })
    $('made').focus({ preventScroll: true })
  }

  async function rotate() {
    try {
      const answer = await ask('POST', path('publishers', page.publisher, 'endpoints', page.appName, page.name, 'secret'), { keep_old_for: $('keep').value })
      await page.reload()
      tell($('secret-said'), 'A new secret is made.')
      made(answer.signing_secret, answer.old_until)
    } catch (err) {
      page.failed(err)
      tell($('secret-said'), `No secret was made. ${sentence(err.message)}`, true)
    }
  }

  $('secret-form').addEventListener('submit', (e) => {
    e.preventDefault()
    void once($('rotate'), rotate)
  })
  $('secret-title').tabIndex = -1

  function samples() {
    const e = page.endpoint?.endpoint
    const post = e?.method === 'POST'
    const scheme = page.setup.signing[post ? 'post' : 'get']
    const parameter = signatureParameter(e?.url ?? '', notation(page.setup, e?.dialect).signature)
    $('scheme').textContent = `${post ? 'A POST' : 'A GET'}: ${scheme.algorithm} over ${scheme.covers}. Key: ${scheme.key}. It stands in ${scheme.where}; ${scheme.encoding}.`
    const { node, php } = post ? samplePOST() : sampleGET(parameter)
    $('samples').replaceChildren(h('h4', {}, 'Node.js'), code(node), h('h4', {}, 'PHP'), code(php))
  }

  return {
    made,
    show() {
      if (madeFor && madeFor !== `${page.appName}/${page.name}`) hide()
      tell($('secret-said'), '')
      const e = page.endpoint
      const lasting = e?.secrets.filter((s) => !s.not_after) ?? []
      const ending = e?.secrets.filter((s) => s.not_after) ?? []
      const mayRotate = e?.endpoint.signed && !page.setup.read_only
      $('secret-form').hidden = !mayRotate && !(e && e.endpoint.method === 'POST' && !page.setup.read_only)
      $('keep').closest('label').hidden = !e?.endpoint.signed
      $('secret-state').replaceChildren(...(!e
        ? ['It is made when you save a template that asks for it: end the URL with ', h('code', {}, '&sig={signature}'), ', or choose POST.']
        : !e.endpoint.signed
          ? ['Requests are not signed, so that your server cannot tell who sends them. ',
              e.endpoint.method === 'POST' ? 'Make a secret, and they are.' : ['End the URL with ', h('code', {}, `&sig=${notation(page.setup, e.endpoint.dialect).signature}`), ' and save.']].flat()
          : [`Requests are signed with ${lasting.length + ending.length > 1 ? `${lasting.length + ending.length} secrets` : 'one secret'}. It is not shown again.`,
              ...ending.flatMap((s) => [' An old one counts until ', time(s.not_after), '.'])]))
      const docs = page.setup.signing.docs
      $('docs').replaceChildren(/^https?:\/\//.test(docs) ? h('a', { href: docs, target: '_blank', rel: 'noreferrer' }, docs) : h('code', {}, docs))
      $('well-known').href = new URL('../.well-known/carom.json', import.meta.url).href
      samples()
    },
  }
}

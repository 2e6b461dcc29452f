// The fourth section: the app, its zones, and the tag that shows ads in its pages.

import { ask, path } from './api.mjs'
import { $, code, h, once, sentence, shape, tell } from './dom.mjs'

const formats = {
  rewarded_interstitial: 'Rewarded interstitial',
  rewarded_popup: 'Rewarded popup',
  in_app_interstitial: 'In-app interstitial',
}

/** zoneSection makes the section. */
export function zoneSection(page) {
  let making = false // an app, and not changing the one that is chosen
  let shownFor

  const errors = (err) => (err.faults?.length > 0 ? err.faults.map(({ field, message }) => `${field}: ${message}`).join('; ') : sentence(err.message))

  function fill(app) {
    $('app-name').value = ''
    $('app-title').value = app?.title ?? ''
    $('origins').value = (app?.origins ?? []).join('\n')
    $('time-zone').value = app?.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? ''
    $('app-form-title').textContent = app ? `Settings of the app ${app.name}` : 'Make an app'
    if (!app) $('app-details').open = true
    $('app-name-field').hidden = Boolean(app)
    $('save-app').textContent = app ? 'Save the app' : 'Make the app'
    $('other-app').textContent = making ? 'Back to the app' : 'Make another app'
    $('other-app').hidden = !page.app.name
    tell($('app-said'), '')
  }

  async function saveApp() {
    const name = making ? $('app-name').value.trim() : page.appName
    const origins = $('origins').value.split('\n').map((line) => line.trim()).filter(Boolean)
    if (name === '') {
      tell($('app-said'), 'The app needs a name, such as my-game.', true)
      $('app-name').focus()
      return
    }
    if (making && page.setup.apps.some((a) => a.name === name)) {
      tell($('app-said'), `You have an app ${name} already: choose another name.`, true)
      return
    }
    try {
      await ask('PUT', path('publishers', page.publisher, 'apps', name), { title: $('app-title').value.trim(), origins, time_zone: $('time-zone').value.trim() })
      const made = making
      making = false
      shownFor = undefined
      if (made) page.choose(name)
      await page.reload()
      tell($('app-said'), made ? `The app ${name} is made. Next, make a zone for its ads, or write your postback URL at the top.` : 'Saved.')
      if (!made) return
      $('app-details').open = false
      $('zone-title').focus()
    } catch (err) {
      page.failed(err)
      tell($('app-said'), `Not saved. ${errors(err)}`, true)
    }
  }

  async function makeZone() {
    const chosen = [...$('formats').querySelectorAll('input:checked')].map((box) => box.value)
    if (chosen.length === 0) {
      tell($('zone-said'), 'Choose at least one format.', true)
      return
    }
    try {
      const zone = await ask('POST', path('publishers', page.publisher, 'apps', page.appName, 'zones'), {
        title: $('zone-title').value.trim(), formats: chosen, confirmed: $('zone-confirmed').checked, require_ymid: $('zone-ymid').checked,
      })
      $('zone-title').value = ''
      await page.reload()
      $('zone-details').open = false
      $('zone-details').querySelector('summary').focus()
      tell($('zone-said'), `The zone ${zone.id} is made. Its script tag is above.`)
    } catch (err) {
      page.failed(err)
      tell($('zone-said'), `No zone was made. ${errors(err)}`, true)
    }
  }

  function card(z) {
    const said = h('div', { class: 'outcome', role: 'status' })
    const toggle = (field, on, label) => {
      const box = h('input', {
        type: 'checkbox',
        checked: on,
        disabled: page.setup.read_only === true,
        onchange: () => once(box, async () => {
          try {
            await ask('PATCH', path('publishers', page.publisher, 'apps', page.appName, 'zones', z.id), { [field]: box.checked })
            z[field] = box.checked
            paused.hidden = !z.paused
            tell(said, 'Saved.')
          } catch (err) {
            page.failed(err)
            box.checked = z[field]
            tell(said, `Not saved. ${errors(err)}`, true)
          }
        }),
      })
      return h('label', { class: 'choice' }, box, h('span', {}, label))
    }
    const paused = h('span', { class: 'state pending', hidden: !z.paused }, shape('pending'), 'paused')
    const serving = Object.entries(z.sub_zones)
    return h('li', { class: 'card' },
      h('h3', { class: 'head' }, h('span', {}, z.title ? `${z.title}, zone ` : 'Zone ', h('code', {}, z.id)), paused),
      code(z.snippet, 'Copy the tag'),
      h('p', {}, 'Then call ', h('code', {}, `show_${z.id.replaceAll('-', '_')}({ ymid })`), ' with an id of your own for each view.'),
      serving.length > 0 && h('ul', { class: 'lines' }, serving.map(([format, id]) => {
        const sends = page.setup.formats.find((f) => f.name === format)?.sends ?? []
        return h('li', {}, `${formats[format] ?? format}: sub-zone `, h('code', {}, id), sends.length > 0 ? `, sends ${sends.join(' and ')}` : ', sends nothing')
      })),
      h('details', {}, h('summary', {}, 'Change it'),
        toggle('confirmed', z.confirmed, 'The SDK waits until the view is confirmed or declined'),
        toggle('require_ymid', z.require_ymid, ['Show no ad to a call without a ', h('code', {}, 'ymid')]),
        toggle('paused', z.paused, 'Paused: every call is answered that there is no ad'), said))
  }

  $('app-form').addEventListener('submit', (e) => {
    e.preventDefault()
    void once($('save-app'), saveApp)
  })
  $('zone-form').addEventListener('submit', (e) => {
    e.preventDefault()
    void once(e.submitter ?? $('zone-form'), makeZone)
  })
  $('other-app').addEventListener('click', () => {
    making = !making
    fill(making ? undefined : page.app)
    $('app-details').open = true
    ;(making ? $('app-name') : $('app-title')).focus()
  })
  $('time-zones').replaceChildren(...(Intl.supportedValuesOf?.('timeZone') ?? []).map((value) => h('option', { value })))

  return {
    show() {
      const there = Boolean(page.app.name)
      const another = shownFor !== page.appName
      if (!there) making = true
      else if (another) making = false
      // What was typed into the form stays while the same app is shown.
      if (another) fill(making ? undefined : page.app)
      shownFor = page.appName
      $('zones').replaceChildren(...page.app.zones.map(card))
      $('sdk-first').hidden = there
      $('zone-details').hidden = !there || page.setup.read_only === true
      if (another) $('zone-details').open = page.app.zones.length === 0
      if ($('formats').childElementCount === 0) {
        $('formats').replaceChildren(...page.setup.formats.map((f) => h('label', { class: 'choice' },
          h('input', { type: 'checkbox', value: f.name, checked: true }), h('span', {}, formats[f.name] ?? f.name, ' ',
          h('span', { class: 'muted' }, f.sends.length > 0 ? `sends ${f.sends.join(' and ')}` : 'sends nothing')))))
      }
      for (const el of $('app-form').elements) el.disabled = page.setup.read_only === true
      tell($('zone-said'), '')
    },
  }
}

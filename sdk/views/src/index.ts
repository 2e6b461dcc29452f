// What an app's page calls. See ../carom-views.d.ts for the promises that are made here.

import type * as face from '../carom-views.js'
import { failed, follow } from './follow.js'
import { keepPending } from './pending.js'
import { asFailure, backoffMs, failure, isFailure, read, send, sleep, within } from './request.js'

// A user who has tapped does not wait longer for an ad. Four tries with their pauses take 7 to 10.5 seconds.
const openMs = 15_000
const openTries = 4

export const createCarom: typeof face.createCarom = ({ server, app, initData, openView, storage }) => {
  if (!/^https?:\/\/./.test(server)) {
    throw new TypeError('createCarom: server: give a URL such as https://postbacks.example')
  }
  if (!openView && !(app && initData)) {
    throw new TypeError('createCarom: give app and initData, or openView')
  }
  const views = server.replace(/\/+$/, '') + '/v1/views'
  const pending = keepPending(storage, views + ' ' + (app || ''))

  const openOnce = async (placement: string, signal: AbortSignal): Promise<face.View> => {
    const opened = openView
      ? await openView(placement, signal)
      : await send(views, 'tma ' + readInitData(initData!), signal, { app, placement })
    const view = opened instanceof Response ? await read(opened) : opened
    if (!view?.view_id || !view.ymid || !view.token) {
      throw failure('invalid', 'openView: return what carom answered')
    }
    return view
  }

  const open: face.Carom['open'] = (placement, { signal } = {}) =>
    within(openMs, signal, async (signal) => {
      for (let failures = 0; ; ) {
        try {
          return await openOnce(placement, signal)
        } catch (thrown) {
          const cause = asFailure(thrown)
          const pauseMs = Math.max(cause.pauseMs, backoffMs(failures++))
          if (cause.error != 'network' || failures == openTries || pauseMs > openMs) throw cause
          await sleep(pauseMs, signal)
          if (signal.aborted) throw cause
        }
      }
    })

  const wait = (view: face.View, options: face.WaitOptions, show?: () => unknown) =>
    within(0, options.signal, async (ended) => {
      pending.change(view, true)
      const outcome = await follow(`${views}/${view.view_id}`, view, options, ended, show)
      pending.change(view, /late|unpaid/.test(outcome.state) || (outcome as { error?: string }).error == 'network')
      return outcome
    })

  return {
    open,
    pending: pending.list,
    resume: (view, options = {}) => wait(view, options),
    // With a view nothing is awaited before show is called: a popup has to be opened before the user's tap is over.
    async reward(options) {
      let { view } = options
      if (!view) {
        try {
          view = await open(options.placement!, options)
        } catch (thrown) {
          if (isFailure(thrown)) return failed(thrown)
          throw thrown // the signal's reason
        }
      }
      const { ymid, placement } = view
      return wait(view, options, () => options.show({ ymid, requestVar: placement }))
    },
  }
}

/** readInitData calls the app's function. Where it throws, as outside Telegram, there is nothing to try again. */
const readInitData = (initData: () => string) => {
  try {
    return initData()
  } catch (thrown) {
    throw failure('forbidden', 'initData: ' + thrown)
  }
}

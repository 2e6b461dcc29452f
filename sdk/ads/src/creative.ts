// The image or the HTML of an ad, loaded and not yet shown.

import { sleep } from './request.js'

/** Ad is what the server says of the ad that is to be shown. */
export interface Ad {
  token: string
  title?: string
  image?: string
  html?: string
  width?: number
  height?: number
  landing_url?: string
  close_after_ms?: number
  viewable_ms?: number
}

// What has not come by then does not count as an ad.
const creativeMs = 10_000
// How long the word of a frame that has loaded may take: it was sent before that.
const frameMs = 1000

/** webURL returns the URL if it leads to a page on the web, and else nothing: no script is ever run from it. */
export const webURL = (url = '') => (/^https?:\/\//i.test(url) ? url : '')

/** loadImage returns the image once it is there, or nothing if it cannot be had. */
export const loadImage = async (ad: Ad): Promise<HTMLImageElement | undefined> => {
  const image = new Image()
  image.alt = ad.title || 'Advertisement'
  const loaded = new Promise<boolean>((resolve) => {
    image.onload = () => resolve(image.naturalWidth > 0)
    image.onerror = () => resolve(false)
  })
  image.src = ad.image!
  return (await Promise.race([loaded, sleep(creativeMs)])) ? image : undefined
}

/** makeFrame returns the frame for the HTML of an ad. It loads once it is part of the page. */
export const makeFrame = (ad: Ad, server: string) => {
  const frame = document.createElement('iframe')
  // Scripts, and nothing else: the frame has an origin of its own, opens nothing and leads nobody away.
  frame.setAttribute('sandbox', 'allow-scripts')
  frame.title = ad.title || 'Advertisement'
  frame.tabIndex = -1
  frame.src = server + 'sdk/frame'
  return frame
}

/** fillFrame gives the frame its HTML, and returns whether it was taken. Words of the creative's own are of no account. */
export const fillFrame = async (frame: HTMLIFrameElement, html: string): Promise<boolean> => {
  let hear!: (event: MessageEvent) => void
  let ready = false
  const filled = new Promise<boolean>((resolve) => {
    hear = ({ source, data }) => {
      if (!source || source != frame.contentWindow) return
      if (data == 'carom:ready' && !ready) {
        ready = true
        frame.contentWindow!.postMessage({ carom: html }, '*') // an origin of its own has no name
      }
      if (data == 'carom:shown' && ready) resolve(true)
    }
    // A page that is something else, such as an error's, loads and stays silent.
    frame.onload = () => void sleep(frameMs).then(() => ready || resolve(false))
  })
  window.addEventListener('message', hear)
  try {
    return !!(await Promise.race([filled, sleep(creativeMs)]))
  } finally {
    window.removeEventListener('message', hear)
  }
}

// The face for pages without modules: a script tag that defines Carom.createCarom.

import { createCarom } from './index.js'

(window as unknown as { Carom: object }).Carom = { createCarom }

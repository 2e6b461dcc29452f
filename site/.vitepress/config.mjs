// The documentation as a site. `make site` builds it into site/dist, which any web server can serve as it is.
//
// CAROM_SITE_BASE is the path under which it is served, "/" by default. CAROM_SITE_REPOSITORY is the address of the folder of
// the repository, such as the one that its host shows files at; without it, what is not part of the site is named, not linked.
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'
import { address, inRepository, label, pages, repository, resolve, sidebar } from './pages.mjs'

/** slugify names a heading as repository hosts do, and as links_test.go does, so that one link serves everywhere. */
function slugify(text) {
  return [...text.toLowerCase()].map((c) => (/[\p{L}\p{Nd}\-_]/u.test(c) ? c : c === ' ' ? '-' : '')).join('')
}

/** relativeLinks turns the links between files of the repository into links of the site. */
function relativeLinks(md) {
  md.core.ruler.push('relative-links', (state) => {
    const file = inRepository(state.env.realPath ?? state.env.path)
    for (const block of state.tokens) {
      for (const token of block.children ?? []) {
        const link = token.type === 'link_open' && token.attrGet('href')
        if (!link || /^[a-z][a-z0-9+.-]*:/i.test(link)) continue
        const { href, path } = resolve(file, link)
        if (href) {
          token.attrSet('href', href)
          const text = block.children[block.children.indexOf(token) + 1]
          if (text?.content === link) text.content = label(file, link) // a file's name says little here
        }
        else if (process.env.CAROM_SITE_REPOSITORY) token.attrSet('href', new URL(path, process.env.CAROM_SITE_REPOSITORY).href)
        else {
          token.tag = 'span'
          token.attrs = [['class', 'in-repository'], ['title', `${path}, in the repository`]]
        }
      }
    }
    // The end of a link has the tag of its beginning.
    for (const block of state.tokens) {
      const open = []
      for (const token of block.children ?? []) {
        if (token.type === 'link_open') open.push(token.tag)
        if (token.type === 'link_close') token.tag = open.pop()
      }
    }
  })
}

// The pages lie beside site/, and what they are compiled to imports Vue: it is looked for from here.
const vueFromHere = {
  name: 'vue-from-here',
  enforce: 'pre',
  resolveId(id, importer, options) {
    if (!/^vue(\/|$)/.test(id) || !importer?.endsWith('.md')) return null
    return this.resolve(id, fileURLToPath(import.meta.url), { ...options, skipSelf: true })
  },
}

const icon = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M2 25 16 7l14 18" fill="none" stroke="#0f8f6e" stroke-width="4"/></svg>'

export default defineConfig({
  title: 'carom',
  description: 'Ad postbacks, verified and paid once',
  head: [['link', { rel: 'icon', href: `data:image/svg+xml,${encodeURIComponent(icon)}` }]],
  base: process.env.CAROM_SITE_BASE ?? '/',
  srcDir: repository,
  srcExclude: ['!(docs)/**/*'],
  rewrites: Object.fromEntries(pages),
  outDir: './dist',
  cacheDir: './node_modules/.cache/vitepress',
  vite: { plugins: [vueFromHere] },
  markdown: {
    anchor: { slugify },
    attrs: { disable: true }, // {name} is a macro in these pages, not an attribute
    config(md) {
      md.disable('emoji') // a colon is a colon
      relativeLinks(md)
    },
  },
  themeConfig: {
    nav: [
      { text: 'Publisher', link: address('docs/start-publisher.md') },
      { text: 'Network', link: address('docs/start-network.md') },
      { text: 'Networks', link: address('docs/networks/README.md') },
      { text: 'On call', link: address('docs/operations.md') },
      { text: 'Commands', link: address('docs/commands.md') },
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3], label: 'On this page' },
    search: { provider: 'local' },
    footer: { message: 'carom is under the Apache License 2.0.' },
  },
})

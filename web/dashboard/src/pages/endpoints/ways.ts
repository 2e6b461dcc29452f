import { api, ok, RequestFailed, type Schemas, tagged } from '../../api/client'
import { useSession } from '../../api/session'
import { useFile } from '../../parts/apps'
import type { Tagged } from '../../parts/version'
import type { Endpoint } from './data'
import { settingsOf, templateOf, type Values } from './values'

/**
 * Ways are how an endpoint is read and changed. Operators have the routes of /v1/endpoints, with everything that can be said of one; members of a
 * publisher have those of /v1/publishers, for their own apps and for what is theirs to say.
 */
export interface Ways {
  /** whole says that everything can be said, not only what is a publisher's. */
  whole: boolean
  /** file is where endpoints are changed instead of here, if there is one. */
  file?: string
  mayMake: boolean
  mayRemove: boolean
  mayTest: boolean
  mayRenew: boolean
  read: (app: string, name: string) => Promise<Tagged<Endpoint>>
  /** save makes an endpoint when etag is undefined. It returns the signing secret that the server has made, if so. */
  save: (values: Values, signed: boolean, etag?: string) => Promise<Tagged<{ secret?: string }>>
  preview: (app: string, name: string | undefined, template: Schemas['Template']) => Promise<Schemas['TemplatePreview']>
  test: (app: string, name: string, about: Schemas['TestPostback']) => Promise<Schemas['TestResult']>
  renew: (app: string, name: string, keepOldFor: string) => Promise<Schemas['MadeSigningSecret']>
  remove: (app: string, name: string) => Promise<unknown>
}

/** useWays chooses by the member's role. */
export function useWays(): Ways {
  const { session, may } = useSession()
  const file = useFile()
  const publisher = session.member?.publisher
  const ways = publisher ? ofPublisher(publisher, may) : ofOperator(may)
  return file ? { ...ways, file, mayMake: false, mayRemove: false, mayRenew: false } : ways
}

type May = (operation: string) => boolean

function ofOperator(may: May): Ways {
  return {
    whole: true,
    mayMake: may('replace-endpoint'),
    mayRemove: may('remove-endpoint'),
    mayTest: may('try-endpoint'),
    mayRenew: may('renew-secret'),
    read: (app, name) => tagged(api.GET('/v1/endpoints/{app}/{name}', { params: { path: { app, name } } })),
    save: async (values, _, etag) => {
      const path = { app: values.app.trim(), name: values.name.trim() }
      const header = etag === undefined ? { 'If-None-Match': '*' } : { 'If-Match': etag }
      // What can only be read is in the type as well, and is not to be sent.
      const saved = await tagged(api.PUT('/v1/endpoints/{app}/{name}', { params: { path, header }, body: settingsOf(values) as Endpoint }))
      return { value: { secret: values.signing === 'new' ? values.signing_secret : undefined }, etag: saved.etag }
    },
    preview: (app, name, template) => ok(api.POST('/v1/endpoints/preview', { body: { app, name, ...template } })),
    test: (app, name, about) => ok(api.POST('/v1/endpoints/{app}/{name}/test', { params: { path: { app, name } }, body: about })),
    renew: (app, name, keepOldFor) => ok(api.POST('/v1/endpoints/{app}/{name}/secret', { params: { path: { app, name } }, body: { keep_old_for: keepOldFor } })),
    remove: (app, name) => ok(api.DELETE('/v1/endpoints/{app}/{name}', { params: { path: { app, name } } })),
  }
}

function ofPublisher(publisher: string, may: May): Ways {
  const path = (app: string, name: string) => ({ publisher, app, name })
  return {
    whole: false,
    mayMake: may('put-endpoint'),
    mayRemove: may('delete-endpoint'),
    mayTest: may('test-endpoint'),
    mayRenew: may('rotate-secret'),
    read: async (app, name) => {
      const { apps } = await ok(api.GET('/v1/publishers/{publisher}', { params: { path: { publisher } } }))
      const found = apps.find((a) => a.name === app)?.endpoints.find((e) => e.endpoint.name === name)
      if (!found) throw new RequestFailed({ type: 'about:blank', title: 'Not found', status: 404, detail: `there is no endpoint ${app}/${name} that you may see` })
      return { value: endpointOf(found), etag: '' }
    },
    save: async (values, signed) => {
      // A new endpoint is signed where its template fits that, unless somebody says otherwise.
      const template = { ...templateOf(values, signed), ...(values.signing === 'keep' && { signed: undefined }) }
      const saved = await ok(api.PUT('/v1/publishers/{publisher}/endpoints/{app}/{name}', { params: { path: path(values.app.trim(), values.name.trim()) }, body: template }))
      return { value: { secret: saved.signing_secret }, etag: '' }
    },
    preview: (app, name, template) => ok(api.POST('/v1/publishers/{publisher}/preview', { params: { path: { publisher } }, body: { app, name, ...template } })),
    test: (app, name, about) => ok(api.POST('/v1/publishers/{publisher}/endpoints/{app}/{name}/test', { params: { path: path(app, name) }, body: about })),
    renew: (app, name, keepOldFor) =>
      ok(api.POST('/v1/publishers/{publisher}/endpoints/{app}/{name}/secret', { params: { path: path(app, name) }, body: { keep_old_for: keepOldFor } })),
    remove: (app, name) => ok(api.DELETE('/v1/publishers/{publisher}/endpoints/{app}/{name}', { params: { path: path(app, name) } })),
  }
}

/** endpointOf writes what publishers read in the shape that the form has. */
function endpointOf({ endpoint: e, secrets }: Schemas['PublisherEndpoint']): Endpoint {
  return {
    app: e.app,
    name: e.name,
    signed: e.signed,
    secrets,
    url: e.url,
    method: e.method as Endpoint['method'],
    headers: Object.fromEntries((e.headers ?? []).map((h) => [h.name, h.value])),
    body: e.body,
    content_type: (e.content_type || undefined) as Endpoint['content_type'],
    dialect: e.dialect,
    default: e.default,
    filter: { event_types: e.event_types, values: e.values as ('valued' | 'not_valued' | 'empty')[], zones: e.zones },
    sends: e.sends as Endpoint['sends'],
    success: { contains: e.contains, not_contains: e.not_contains },
  }
}

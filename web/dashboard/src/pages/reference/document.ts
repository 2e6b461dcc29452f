/** The parts of an OpenAPI document that the reference shows. */
export interface OpenAPI {
  info: { title: string; version: string; description?: string }
  tags?: { name: string; description?: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Schema> }
}

export interface Operation {
  operationId: string
  summary: string
  description?: string
  tags?: string[]
  parameters?: Parameter[]
  requestBody?: { content: Content }
  responses: Record<string, { description?: string; content?: Content }>
}

export interface Parameter {
  name: string
  in: string
  required?: boolean
  description?: string
  schema: Schema
}

type Content = Record<string, { schema?: Schema }>

export interface Schema {
  $ref?: string
  type?: string | string[]
  description?: string
  enum?: unknown[]
  items?: Schema
  properties?: Record<string, Schema>
  additionalProperties?: Schema | boolean
  required?: string[]
  default?: unknown
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  format?: string
  oneOf?: Schema[]
}

/** A Route is an operation with its place. */
export interface Route {
  method: string
  path: string
  operation: Operation
}

/** A Group is the routes of one tag. */
export interface Group {
  tag: string
  description?: string
  routes: Route[]
}

/** groupsOf sorts a document's operations by their tags, and leaves out what does not hold all of the words. */
export function groupsOf(doc: OpenAPI, words: string): Group[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean)
  const groups = new Map<string, Group>()
  for (const tag of doc.tags ?? []) groups.set(tag.name, { tag: tag.name, description: tag.description, routes: [] })
  for (const [path, operations] of Object.entries(doc.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const text = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase()
      if (!wanted.every((w) => text.includes(w))) continue
      const tag = operation.tags?.[0] ?? 'other'
      const group = groups.get(tag) ?? { tag, routes: [] }
      group.routes.push({ method: method.toUpperCase(), path, operation })
      groups.set(tag, group)
    }
  }
  return [...groups.values()].filter((g) => g.routes.length > 0)
}

/** nameOf is the name of the schema that a reference leads to. */
export const nameOf = (s: Schema): string | undefined => s.$ref?.split('/').pop()

/** resolve follows references; what leads nowhere is an empty schema. */
export function resolve(doc: OpenAPI, s: Schema): Schema {
  const name = nameOf(s)
  return name ? (doc.components.schemas[name] ?? {}) : s
}

/** typeOf writes the type of a schema in a few words. */
export function typeOf(s: Schema): string {
  const name = nameOf(s)
  if (name) return name
  if (s.oneOf) return s.oneOf.map(typeOf).join(' or ')
  const types = (Array.isArray(s.type) ? s.type : [s.type ?? 'any']).filter((t) => t !== 'null')
  return types.map((t) => (t === 'array' && s.items ? `list of ${typeOf(s.items)}` : t === 'object' && typeof s.additionalProperties === 'object' ? `map to ${typeOf(s.additionalProperties)}` : t)).join(' or ')
}

/** limitsOf writes what values are allowed. */
export function limitsOf(s: Schema): string {
  const parts: string[] = []
  if (s.enum) parts.push(`one of ${s.enum.map((v) => (v === '' ? 'empty' : String(v))).join(', ')}`)
  if (s.minimum !== undefined) parts.push(`from ${s.minimum}`)
  if (s.maximum !== undefined) parts.push(`to ${s.maximum}`)
  if (s.maxLength !== undefined) parts.push(`at most ${s.maxLength} characters`)
  if (s.default !== undefined) parts.push(`without it: ${JSON.stringify(s.default)}`)
  return parts.join('; ')
}

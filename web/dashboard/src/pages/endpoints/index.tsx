import { Route, Routes } from 'react-router'
import { Empty, Page } from '../../parts/page'
import { EndpointList } from './list'
import { NewEndpoint } from './new'
import { OneEndpoint } from './one'

/** Endpoints are the ways out: all of them with how their lanes stand, one, and the making of a new one. */
export default function Endpoints() {
  return (
    <Routes>
      <Route index element={<EndpointList />} />
      <Route path="new" element={<NewEndpoint />} />
      <Route path=":app/:name" element={<OneEndpoint />} />
      <Route
        path="*"
        element={
          <Page title="Nothing here">
            <Empty title="There is no page at this address">Endpoints lists those that there are.</Empty>
          </Page>
        }
      />
    </Routes>
  )
}
